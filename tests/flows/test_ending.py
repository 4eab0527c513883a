"""A run does not end well before DVC's remote and the registry have what it made."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import flow
from prefect.testing.utilities import prefect_test_harness

from flows import ends, pipeline
from flows.graph import Stage
from flows.reproduce import RAN, RESTORED, current
from flows.stages import RunPolicy, StageFailedError, processes, run_stage
from tests.flows.toy import make, said


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    root = make(tmp_path / "project", tmp_path / "remote")
    monkeypatch.chdir(root)
    monkeypatch.setattr(pipeline, "run_stage", run_stage.with_options(retries=0))
    yield root
    processes.close()


@flow
def toy() -> str:
    made = run_stage.submit("first", RunPolicy(), {}).result()
    pipeline._push(RunPolicy())
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
        made = run_stage.submit("first", RunPolicy(), {}).result()
        processes.pushing["first"].wait()
        remote.unlink()
        pipeline._push(RunPolicy())
        return made

    assert mended() == RAN
    assert sorted(path.name for path in remote.iterdir()) == ["files", "runs"]
    assert said(project) == ["first"]


@pytest.mark.parametrize(
    ("policy", "stage", "said", "retry"),
    [
        (RunPolicy(), "broken", "exited with 3", True),
        (RunPolicy(stall_s=2), "second", "it said nothing for .* minutes; .*stall_minutes", True),
        (RunPolicy(timeout_s=2), "second", "it took longer than .*; .*timeout_minutes", False),
    ],
)
def test_a_stage_fails_with_its_reason_and_remedy(
    server: None,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    policy: RunPolicy,
    stage: str,
    said: str,
    retry: bool,
) -> None:
    monkeypatch.setenv("TOY_S", "60")

    @flow
    def failing() -> None:
        once = run_stage.with_options(retries=0)
        once.submit("first", RunPolicy(), {}).result()
        once.submit(stage, policy, {}).result()

    with pytest.raises(StageFailedError, match=f"{stage}: .*{said}") as caught:
        failing()
    assert caught.value.retry == retry


@pytest.mark.parametrize("lock", [True, False], ids=["by dvc.lock", "by the cache"])
def test_what_was_published_to_another_registry_is_published_again(
    server: None, project: Path, monkeypatch: pytest.MonkeyPatch, lock: bool
) -> None:
    monkeypatch.setattr(pipeline, "PUBLISH", "first")
    monkeypatch.setattr(ends, "is_unpublished", lambda: said(Path()) == [])

    @flow
    def run() -> str:
        return pipeline._run([Stage("first", ())], RunPolicy(current(["first"])))["first"]

    assert run() == RAN
    (project / "log").unlink()
    if not lock:
        (project / "dvc.lock").unlink()
        (project / "a").unlink()
    assert run() == RAN
    assert said(project) == ["first"]
