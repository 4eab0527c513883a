"""Each failure that runs meet comes with what is likely to help."""

import errno
import pickle
from pathlib import Path

import pytest
from dvc.stage.exceptions import StageCmdFailedError

from drdd.cluster.launch import _diagnosis
from drdd.errors import Failure, TransientError, UserError, failure_of
from drdd.params import TrainStage, load
from drdd.storage.filesystems import explained
from flows.reproduce import _failure
from flows.stages import REMEDIES
from tests.conftest import ROOT


class OutOfMemoryError(RuntimeError):
    """As torch and Ray name theirs."""


def _said(error: Exception) -> Exception:
    """What becomes of an error of the store."""
    with pytest.raises((UserError, TransientError)) as caught, explained("s3://drdd/models"):
        raise error
    return caught.value


def _settings() -> TrainStage:
    return load(ROOT / "params.yaml").train.noise


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "make room"),
        (_said(OSError(errno.ENOSPC, "No space left on device")), "make room"),
        (StageCmdFailedError("python -m drdd.stages.train_noise", -9), "too little memory"),
        (OutOfMemoryError("CUDA out of memory"), "too little memory"),
        (MemoryError(), "too little memory"),
        (_said(PermissionError("AccessDenied")), "AWS_ACCESS_KEY_ID"),
        (_said(ConnectionError("refused")), "drdd doctor"),
        (_diagnosis(ValueError("x"), "noise", _settings()), "ray status"),
    ],
)
def test_a_failure_has_its_remedy(error: Exception, word: str) -> None:
    assert word in _failure(error).remedy


def test_the_cause_of_lost_workers_says_what_helps() -> None:
    error = ValueError("x")
    error.worker_failures = {0: OutOfMemoryError("CUDA out of memory")}  # type: ignore[attr-defined]
    assert "too little memory" in _failure(_diagnosis(error, "noise", _settings())).remedy


def test_without_a_remedy_of_its_own_each_kind_has_one(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("sead: 1")
    with pytest.raises(UserError) as caught:
        load(tmp_path / "params.yaml")
    assert "params.yaml" in REMEDIES[failure_of(caught.value).kind]
    assert "the last lines" in REMEDIES[failure_of(KeyError("x")).kind].lower()


def test_an_error_with_a_remedy_says_both_wherever_it_goes() -> None:
    error = pickle.loads(pickle.dumps(TransientError("s3 is away", "wait")))
    assert str(error) == "s3 is away; wait"
    assert failure_of(error) == Failure("transient", "s3 is away", "wait")
