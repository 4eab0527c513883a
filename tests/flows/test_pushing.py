"""A run goes on while DVC's remote gets what a stage made, and does not end well before it has."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import flow
from prefect.testing.utilities import prefect_test_harness

from flows import pipeline
from flows.reproduce import RAN, RESTORED, current
from flows.stages import Plan, StageFailedError, run_stage, workers
from tests.flows.toy import make, said


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    with prefect_test_harness():
        yield


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    root = make(tmp_path / "project", tmp_path / "remote")
    monkeypatch.chdir(root)
    monkeypatch.setattr(pipeline, "run_stage", run_stage.with_options(retries=0))
    yield root
    workers.dismiss()


@flow
def toy() -> str:
    made = run_stage.submit("first", Plan(), {}).result()
    pipeline._push(Plan())
    return made


def test_a_run_fails_while_the_remote_has_not_what_it_made(server: None, project: Path) -> None:
    remote = project.parent / "remote"
    remote.write_text("no folder")
    with pytest.raises(StageFailedError, match="Not a directory"):
        toy()
    remote.unlink()
    assert toy() == RESTORED
    assert sorted(path.name for path in remote.iterdir()) == ["files", "runs"]
    assert current(["first"]) == {"first"}
    assert said(project) == ["first"]


def test_a_push_that_failed_is_made_up_for_before_the_end(server: None, project: Path) -> None:
    remote = project.parent / "remote"
    remote.write_text("no folder")

    @flow
    def mended() -> str:
        made = run_stage.submit("first", Plan(), {}).result()
        workers.pushing["first"].wait()
        remote.unlink()
        pipeline._push(Plan())
        return made

    assert mended() == RAN
    assert sorted(path.name for path in remote.iterdir()) == ["files", "runs"]
    assert said(project) == ["first"]
