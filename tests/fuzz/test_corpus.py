"""The fuzz targets: inputs that once failed are replayed, and a target that fails is seen to fail."""

import time
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.fuzz import run
from tests.fuzz.data import packed, pictures
from tests.fuzz.rooms import TARGETS
from tests.fuzz.target import Attempt, Target

KEPT = sorted(path for path in run.CORPUS.glob("*/*") if path.is_file())


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Attempt]:
    """By name; made when they are first used."""

    class Opened(dict[str, Attempt]):
        def __missing__(self, name: str) -> Attempt:
            self[name] = TARGETS[name].opened(tmp_path_factory.mktemp(name))
            return self[name]

    return Opened()


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=f"{path.parent.name}/{path.name}") for path in KEPT],
)
def test_what_once_failed_is_taken_or_refused(path: Path, attempts: dict[str, Attempt]) -> None:
    with run.bounded():
        attempts[path.parent.name](path.read_bytes())


def test_good_inputs_are_accepted(attempts: dict[str, Attempt]) -> None:
    """A target that refuses everything would find nothing."""
    assert sum(attempts["intake"](one) for one in pictures()) > 20
    assert all(attempts["archives"](one) for one in packed())
    assert attempts["lists"](b"\0one.png\n")


def _toy(attempt: Attempt) -> Target:
    return Target("toy", lambda: st.binary(max_size=30), lambda _: attempt)


def _run(attempt: Attempt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> run.Run:
    monkeypatch.setattr(run, "CORPUS", tmp_path)
    made = run.Run(_toy(attempt), time.monotonic() + 60, tmp_path / ".current")
    made.round(0, attempt)
    return made


def test_a_fault_is_found_made_small_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attempt(content: bytes) -> bool:
        if b"\x07" in content:
            raise KeyError("seven")
        return len(content) > 3

    made = _run(attempt, tmp_path, monkeypatch)
    (kept,) = (tmp_path / "toy").iterdir()
    assert kept.read_bytes() == b"\x07"
    ((place, name),) = made.failures.items()
    assert place.startswith("KeyError")
    assert name == kept.name
    assert made.counts["accepted"] > 0
    assert made.counts["refused"] > 0
    assert made.counts["failed"] == 1
