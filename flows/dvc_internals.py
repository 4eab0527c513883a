"""The private parts of DVC that flows need, for lack of a public call or command. Tested with DVC 3.67.1.

tests/flows/test_dvc_internals.py fails with a sentence if one of these has changed.
"""

from pathlib import Path

from dvc.repo import Repo
from dvc.stage import Stage
from dvc.stage.cache import _get_stage_hash

KILLED = ("exited with -9", "exited with 137")  # by SIGKILL, as by Linux when memory runs out


def open_repo(root: Path) -> Repo:
    """Open a repository that waits for its lock without a limit, like `dvc --wait-for-lock`.

    Only commands have this option publicly. Without it, DVC waits for 3 s: a stage that ends while another
    fetches its inputs would lose its results.
    """
    return Repo(str(root), _wait_for_lock=True)


def run_cache_key(stage: Stage) -> str:
    """The name of the stage's entry in DVC's run cache: a hash of its command and dependencies.

    It allows to fetch or push one entry. `dvc push --run-cache` and `dvc repro --pull` copy all entries
    of all stages each time: 13 and 20 ms an entry to an S3 server on the same machine, for each stage of
    a run. One run adds up to 20 entries, so after 200 runs a stage would wait for more than a minute.
    Raises AssertionError when the stage has no command, dependencies or outputs that DVC can cache.
    """
    return str(_get_stage_hash(stage))


def was_killed(error: BaseException) -> bool:
    """Whether the stage's command was killed. DVC says so only in the error message."""
    return str(error).endswith(KILLED)
