"""What a run made is an experiment that DVC itself lists and applies; what it made twice is one."""

import json
import subprocess
from pathlib import Path

import pytest

from flows import experiments
from flows.workspace import _make
from tests.conftest import ROOT
from tests.flows.toy import git
from tests.project import BIN


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q")
    subprocess.run([BIN / "dvc", "init", "-q"], cwd=root, check=True)
    (root / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (root / ".gitignore").write_text("/.drdd/\n")
    (root / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    git(root, "add", "--all")
    git(root, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "first")
    return root


def _workspace(project: Path, name: str, *overrides: str) -> Path:
    path = (project / ".drdd/runs" / name).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    _make(project, path, "", overrides, ())
    return path


def _shown(project: Path) -> dict[str, int]:
    """By experiment, its seed, as DVC says."""
    done = subprocess.run(
        [BIN / "dvc", "exp", "show", "--json"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    head = json.loads(done.stdout)[1]
    return {
        one["name"]: one["revs"][0]["data"]["params"]["params.yaml"]["data"]["seed"]
        for one in head["experiments"] or []
    }


def test_dvc_lists_runs_by_their_params_and_applies_one(project: Path) -> None:
    baseline = git(project, "rev-parse", "HEAD")
    for seed in (5, 6):
        path = _workspace(project, f"run{seed}", f"seed={seed}")
        assert experiments.save(path, baseline, f"exp{seed}") == f"exp{seed}"
    assert _shown(project) == {"exp5": 5, "exp6": 6}
    assert git(project, "status", "--porcelain") == ""
    subprocess.run([BIN / "dvc", "exp", "apply", "-q", "exp6"], cwd=project, check=True)
    assert "seed: 6" in (project / "params.yaml").read_text()


def test_a_run_that_changed_nothing_is_no_experiment(project: Path) -> None:
    path = _workspace(project, "run")
    assert experiments.save(path, git(project, "rev-parse", "HEAD"), "name") is None
    assert _shown(project) == {}


def test_the_same_twice_is_one_and_two_of_a_name_are_two(project: Path) -> None:
    baseline = git(project, "rev-parse", "HEAD")
    one, same, other = (_workspace(project, f"run{n}", f"seed={n // 2}") for n in (2, 3, 4))
    assert experiments.save(one, baseline, "name") == "name"
    assert experiments.save(same, baseline, "another") == "name"
    assert experiments.save(other, baseline, "name") == "name-2"


def test_a_run_begins_with_what_the_same_run_made(project: Path) -> None:
    path = _workspace(project, "run", "seed=5")
    (path / "dvc.lock").write_text("schema: '2.0'\nstages: {made: {cmd: x}}\n")
    experiments.save(path, git(project, "rev-parse", "HEAD"), "name")
    again, other = _workspace(project, "again", "seed=5"), _workspace(project, "other", "seed=6")
    assert "made" in (again / "dvc.lock").read_text()
    assert "made" not in (other / "dvc.lock").read_text()
