"""What is likely to help, by the words of a failure. A stage's own words say it better, if it has any."""

import re
from collections.abc import Iterable

REMEDIES = {
    r"No space left on device|Disk quota exceeded": "Make room on the disk (docs/versions.md says how, "
    "with `dvc gc`), then start the run again: it goes on where it stopped.",
    r"exited with (137|-9)|MemoryError|OutOfMemory|out of memory": "Out of memory, most likely: lower "
    "train.*.micro_batch, train.*.crop or serve.max_batch, or use a machine with more.",
    r"access refused|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch": "Check AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY in the environment of the worker; `drdd doctor` tries them.",
    r"does not answer|did not reach|Connection|EndpointConnectionError|timed out": "A store or a service "
    "did not answer. `drdd doctor` says which; then start the run again: it goes on where it stopped.",
    r"workers were lost|cluster has": "See which nodes Ray has (`ray status`); lower train.*.workers, or "
    "raise train.*.restarts.",
    r"said nothing|took longer": "Look at the stage's log and at Ray's dashboard; raise stall_minutes or "
    "timeout_minutes if the work is really that slow.",
    r"params\.yaml": "Put params.yaml right, or the run's overrides: the message names the key.",
}
OTHERWISE = "The last lines of its log, above, are what is known; the whole of it is in .drdd/logs."


def remedy(lines: Iterable[str]) -> str:
    """For the first line that is known; the line that says most comes first."""
    for line in lines:
        for pattern, advice in REMEDIES.items():
            if re.search(pattern, line, re.IGNORECASE):
                return advice
    return OTHERWISE
