"""Progress is on disk for whoever watches, and ends as the stage ended."""

from pathlib import Path

import pytest

from drdd.errors import TransientError, UserError
from drdd.progress import Status, describe, read_status, reporting


def test_a_stage_is_seen_running_and_done(workspace: Path) -> None:
    assert read_status("train_noise") is None
    with reporting("train_noise") as reporter:
        reporter.update(0, 100, "images")
        reporter.update(40, 100, "images", "loss 0.5")
        status = read_status("train_noise")
        assert status is not None
        assert (status.state, status.done, status.total) == ("running", 40, 100)
        assert status.eta_s is not None
    final = read_status("train_noise")
    assert final is not None
    assert (final.state, final.eta_s) == ("done", None)


@pytest.mark.parametrize(
    ("error", "retry"),
    [(UserError("bad"), False), (TransientError("down"), True), (OSError("odd"), True)],
)
def test_a_failure_says_whether_a_retry_may_help(
    workspace: Path, error: Exception, retry: bool
) -> None:
    with pytest.raises(type(error)), reporting("publish"):
        raise error
    status = read_status("publish")
    assert status is not None
    assert (status.state, status.note, status.retry) == ("failed", str(error), retry)


def test_a_resumed_run_estimates_from_where_it_began(workspace: Path) -> None:
    with reporting("train_noise") as reporter:
        reporter.update(900, 1000, "images")
        reporter.update(910, 1000, "images")
        status = read_status("train_noise")
        assert status is not None
        assert status.eta_s is not None
        # 10 images in almost no time: the estimate is for 90 more, not for 910 already done.
        assert status.eta_s < 60


def test_a_status_in_words() -> None:
    status = Status("train_noise", "running", 3200, 16000, "images", "loss 0.21", 100.0)
    assert describe(status) == "train_noise  3200/16000 images  20 %  loss 0.21  ETA 1:40"


def test_a_damaged_status_file_is_none(workspace: Path) -> None:
    path = workspace / ".drdd/progress/x.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"stage": "x"')
    assert read_status("x") is None
