"""The flow's tasks are dvc.yaml's stages, whatever params say."""

from pathlib import Path
from typing import Any

import pytest

from drdd.errors import UserError
from drdd.params import load
from flows.graph import stages
from tests.conftest import ROOT
from tests.flows.toy import make


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make(tmp_path)


def test_the_projects_graph_has_a_stage_for_each_key_of_params() -> None:
    found = {stage.name: set(stage.upstream) for stage in stages(ROOT)}
    params = load(ROOT / "params.yaml")
    corpora = {f"ingest@{name}" for name in params.corpora}
    tasks = {f"prepare@{name}" for name in params.tasks}
    references = {f"references@{name}" for name in params.tasks}
    alone = {
        "check",
        "photographs",
        "split",
        "train_noise",
        "train_residual",
        "evaluate",
        "compare",
        "judge",
        "publish",
    }
    assert set(found) == corpora | tasks | references | alone
    assert found["split"] == corpora
    assert found["train_noise"] == {"check", "split"}  # unpaired: it needs no task
    assert found["train_residual"] == {"check", *tasks}
    assert "train_noise" not in found["train_residual"]
    assert {"train_noise", "train_residual", *references} <= found["evaluate"]
    assert "evaluate" in found["compare"]
    assert {"evaluate", "compare"} <= found["judge"]
    assert {"evaluate", "judge"} <= found["publish"]


def test_every_stage_comes_after_what_it_needs(project: Path) -> None:
    seen: set[str] = set()
    for stage in stages(project):
        assert set(stage.upstream) <= seen
        seen.add(stage.name)
    assert seen == {"first", "second", "beside", "broken"}


def test_a_target_brings_what_it_depends_on_and_no_more(project: Path) -> None:
    assert [stage.name for stage in stages(project, "second")] == ["first", "second"]
    without = stages(project, without=["second"])
    assert [stage.name for stage in without] == ["first", "beside", "broken"]


@pytest.mark.parametrize("names", [{"target": "secnd"}, {"without": ["secnd"]}])
def test_an_unknown_stage_is_the_users(project: Path, names: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="no stage 'secnd', did you mean 'second'"):
        stages(project, **names)


def test_a_broken_dvc_yaml_is_the_users(project: Path) -> None:
    (project / "dvc.yaml").write_text("stages:\n  first:\n    command: echo\n")
    with pytest.raises(UserError, match=r"dvc\.yaml"):
        stages(project)
