"""What names a run of training, and so decides from which checkpoints it resumes."""

from pathlib import Path

import pytest

from drdd.params import validate
from drdd.stages.training import _code, run_name
from drdd.training.job import Job
from tests.conftest import ROOT
from tests.project import tiny_params

GRAPH = """
stages:
  train_noise:
    deps: [drdd/methods, data/unpaired]
"""


def _name(**changes: object) -> str:
    content = tiny_params()
    content["train"]["noise"] |= changes
    return run_name(Job("noise", validate(content), {}))


def test_a_run_has_its_own_name_under_changed_code(workspace: Path) -> None:
    (workspace / "drdd/methods").mkdir(parents=True)
    (workspace / "drdd/methods/drdd.py").write_text("loss = 1")
    (workspace / "dvc.yaml").write_text(GRAPH)
    first = _name()
    assert _name() == first
    (workspace / "drdd/methods/__pycache__").mkdir()
    (workspace / "drdd/methods/__pycache__/drdd.pyc").write_text("compiled")
    assert _name() == first
    (workspace / "drdd/methods/drdd.py").write_text("loss = 100")
    assert _name() != first


def test_what_changes_no_result_keeps_the_name(workspace: Path) -> None:
    assert _name(keep=5, restarts=1, checkpoint_every=8) == _name()
    assert _name(images=648) != _name()


@pytest.mark.parametrize("stage", ["train_noise", "train_residual"])
def test_the_graph_of_the_project_names_the_code_of_both_trainings(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert {"drdd/training", "drdd/methods", "drdd/metrics/fidelity.py"} <= _code(stage).keys()
