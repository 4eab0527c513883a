"""Progress is on disk for whoever watches, and ends as the stage ended."""

import os
import re
import time
from pathlib import Path
from unittest import mock

import pytest

from drdd.errors import TransientError, UserError
from drdd.progress import (
    WRITE_EVERY_S,
    Status,
    clear_status,
    describe,
    read_status,
    report_ray_job,
    reporting,
)


def _written(stage: str, done: int) -> Status:
    """The status once it has come so far: it is written soon, even if no other update follows."""
    while (status := read_status(stage)) is None or status.done < done:
        time.sleep(0.01)
    return status


def test_a_stage_is_seen_running_and_done(workspace: Path) -> None:
    assert read_status("train_noise") is None
    with reporting("train_noise") as reporter:
        reporter.update(0, 100, "images")
        reporter.update(40, 100, "images", "loss 0.5")
        status = _written("train_noise", 40)
        assert (status.state, status.done, status.total) == ("running", 40, 100)
        assert status.eta_s is not None
    final = read_status("train_noise")
    assert final is not None
    assert (final.state, final.eta_s) == ("done", None)


@pytest.mark.parametrize(
    ("error", "kind", "retry"),
    [
        (UserError("bad"), "user", False),
        (TransientError("down"), "transient", True),
        (OSError("odd"), "unexpected", True),
        (KeyboardInterrupt("x"), "interrupted", False),
    ],
)
def test_a_failure_says_whether_a_retry_may_help(
    workspace: Path, error: BaseException, kind: str, retry: bool
) -> None:
    with pytest.raises(type(error)), reporting("publish"):
        raise error
    status = read_status("publish")
    assert status is not None
    assert status.state == "failed"
    assert status.failure is not None
    assert status.note == status.failure.sentence
    assert kind == "interrupted" or status.note == str(error)
    assert (status.failure.kind, status.failure.retry) == (kind, retry)


def test_a_failure_carries_its_remedy(workspace: Path) -> None:
    with pytest.raises(UserError, match="no key; set it"), reporting("publish"):
        raise UserError("no key", "set it")
    status = read_status("publish")
    assert status is not None
    assert status.failure is not None
    assert (status.failure.sentence, status.failure.remedy) == ("no key", "set it")
    clear_status("publish")
    assert read_status("publish") is None


def test_what_a_stage_said_and_its_ray_job_are_in_its_status(workspace: Path) -> None:
    report_ray_job("01")  # of no stage
    with reporting("train_noise") as reporter:
        reporter.say("training begins")
        report_ray_job("02000000")
    status = read_status("train_noise")
    assert status is not None
    assert (status.said, status.ray_job) == (("training begins",), "02000000")


def test_a_resumed_run_estimates_from_where_it_began(workspace: Path) -> None:
    with reporting("train_noise") as reporter:
        reporter.update(900, 1000, "images")
        reporter.update(910, 1000, "images")
        status = _written("train_noise", 910)
        assert status.eta_s is not None
        # 10 images in almost no time: the estimate is for 90 more, not for 910 already done.
        assert status.eta_s < 60


def test_on_a_terminal_of_80_columns_bar_and_note_are_whole(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    note = "loss 0.1234  psnr 27.3 dB  31 img/s  wait 1 %  MFU 43 %  2 skipped"
    with reporting("train_residual") as reporter:
        reporter.update(0, 16000, "images")
        reporter.say("went on from the checkpoint before")
        reporter.update(8000, 16000, "images", note)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err).splitlines()
    assert "train_residual: went on from the checkpoint before" in [line.strip() for line in lines]
    assert lines[-1].strip() == note
    assert re.match(r"train_residual \S+ +8000/16000 images \S+$", lines[-2].strip())
    assert all(len(line.rstrip()) <= 80 for line in lines)


def test_a_status_in_words() -> None:
    status = Status("train_noise", "running", 3200, 16000, "images", "loss 0.21", 100.0)
    assert describe(status) == "train_noise  3200/16000 images  20 %  loss 0.21  ETA 1:40"


def test_a_damaged_status_file_is_none(workspace: Path) -> None:
    path = workspace / ".drdd/progress/x.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"stage": "x"')
    assert read_status("x") is None


def test_many_updates_cost_few_writes_and_no_flush(workspace: Path) -> None:
    """A stage reports each of its pairs, and a flush for each would take longer than the pair."""
    (workspace / ".drdd/progress").mkdir(parents=True)
    with (
        mock.patch("os.fsync", wraps=os.fsync) as flushes,
        mock.patch.object(Path, "replace", autospec=True, side_effect=Path.replace) as writes,
    ):
        began = time.monotonic()
        with reporting("prepare@rain") as reporter:
            for done in range(1, 5001):
                reporter.update(done, 5000, "pairs")
            status = read_status("prepare@rain")
            assert status is not None
            assert status.done == 5000
        took = time.monotonic() - began
    assert flushes.call_count == 0
    assert 2 <= writes.call_count <= 5 + took / WRITE_EVERY_S
