"""The likely remedy for what really fails."""

import pytest

from flows.remedies import OTHERWISE, remedy


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        (["[Errno 28] No space left on device"], "Make room"),
        (["failed to run: python -m drdd.stages.train_noise, exited with -9"], "Out of memory"),
        (["s3://drdd/models at http://x: access refused (AccessDenied)"], "AWS_ACCESS_KEY_ID"),
        (["s3://drdd/models does not answer (ConnectionError)"], "drdd doctor"),
        (["train.noise: workers were lost more than restarts = 3 times"], "ray status"),
        (["it said nothing for 60 minutes", "loss 0.3"], "stall_minutes"),
        (["params.yaml: 1 error(s)"], "the message names the key"),
        (["nothing that anybody knows"], OTHERWISE),
    ],
)
def test_a_failure_has_its_remedy(lines: list[str], word: str) -> None:
    assert word in remedy(lines)


def test_the_last_word_counts_for_more_than_the_log() -> None:
    assert "Make room" in remedy(["No space left on device", "Connection reset"])
