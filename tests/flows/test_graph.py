"""The flow's tasks are dvc.yaml's stages, whatever params say; stages are reproduced once."""

import subprocess
import threading
from pathlib import Path

import pytest
from dvc.repo import Repo

from drdd.errors import UserError
from drdd.params import load
from flows.graph import StageError, reproduce, stages
from tests.conftest import ROOT

DVC_YAML = """
stages:
  first:
    cmd: echo one >> log && echo 1 > a
    deps: [in]
    outs: [a]
  second:
    cmd: sleep 0.5 && cp a b
    deps: [a]
    outs: [b]
  beside:
    cmd: sleep 0.5 && cp a c
    deps: [a]
    outs: [c]
  broken:
    cmd: "false"
    deps: [a]
    outs: [d]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    Repo.init(str(tmp_path)).close()
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "in").write_text("x")
    return tmp_path


def test_the_projects_graph_has_a_stage_for_each_key_of_params() -> None:
    found = {stage.name: set(stage.upstream) for stage in stages(ROOT)}
    params = load(ROOT / "params.yaml")
    corpora = {f"ingest@{name}" for name in params.corpora}
    tasks = {f"prepare@{name}" for name in params.tasks}
    alone = {
        "check",
        "photographs",
        "split",
        "train_noise",
        "train_residual",
        "evaluate",
        "judge",
        "publish",
    }
    assert set(found) == corpora | tasks | alone
    assert found["split"] == corpora
    assert found["train_noise"] == {"split"}  # unpaired: it needs no task
    assert found["train_residual"] == tasks
    assert "train_noise" not in found["train_residual"]
    assert {"train_noise", "train_residual"} <= found["evaluate"]
    assert "evaluate" in found["judge"]
    assert {"evaluate", "judge"} <= found["publish"]


def test_every_stage_comes_after_what_it_needs(project: Path) -> None:
    seen: set[str] = set()
    for stage in stages(project):
        assert set(stage.upstream) <= seen
        seen.add(stage.name)
    assert seen == {"first", "second", "beside", "broken"}


def test_a_stage_runs_once(project: Path) -> None:
    assert reproduce("first") is True
    assert reproduce("first") is False
    assert (project / "log").read_text() == "one\n"
    (project / "in").write_text("y")
    assert reproduce("first") is True


def test_independent_stages_run_at_the_same_time(project: Path) -> None:
    reproduce("first")
    errors: list[BaseException] = []

    def run(stage: str) -> None:
        try:
            assert reproduce(stage)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=[stage]) for stage in ("second", "beside")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert not reproduce("second")
    assert not reproduce("beside")


def test_a_failing_stage_is_said(project: Path) -> None:
    reproduce("first")
    with pytest.raises(StageError, match="broken: failed to run: false, exited with 1"):
        reproduce("broken")


def test_a_broken_dvc_yaml_is_the_users(project: Path) -> None:
    (project / "dvc.yaml").write_text("stages:\n  first:\n    command: echo\n")
    with pytest.raises(UserError, match=r"dvc\.yaml"):
        stages(project)
