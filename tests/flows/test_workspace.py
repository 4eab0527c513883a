"""A run with overrides sees the project as it is now, and the user's files see nothing of it."""

import shutil
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo

from drdd.errors import UserError
from drdd.params import load
from flows.workspace import KEEP, RUNS, trial_overrides, workspace
from tests.conftest import ROOT


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    _git(root, "init", "-q")
    _git(root, "config", "user.name", "t")
    _git(root, "config", "user.email", "t@localhost")
    Repo.init(str(root)).close()
    for name in ("params.yaml", ".gitignore"):
        shutil.copy(ROOT / name, root / name)
    (root / "code.py").write_text("committed")
    _git(root, "add", "--all")
    _git(root, "commit", "-qm", "first")
    return root


def test_without_overrides_a_run_works_in_the_project(project: Path) -> None:
    assert workspace(project, "run", []) == project


def test_a_run_with_overrides_gets_a_snapshot(project: Path) -> None:
    (project / "code.py").write_text("changed, not committed")
    (project / "new.py").write_text("not even added")
    (project / "data").mkdir()
    (project / "data/ignored").write_text("")
    before = _git(project, "status", "--porcelain"), (project / "params.yaml").read_bytes()
    path = workspace(project, "run", ["seed=5"])
    assert load(path / "params.yaml").seed == 5
    assert (path / "code.py").read_text() == "changed, not committed"
    assert (path / "new.py").read_text() == "not even added"
    assert not (path / "data").exists()
    assert before == (
        _git(project, "status", "--porcelain"),
        (project / "params.yaml").read_bytes(),
    )
    with Repo(str(project)) as ours, Repo(str(path)) as theirs:
        assert ours.cache.local.path == theirs.cache.local.path


def test_the_snapshot_of_a_clean_project_is_its_commit(project: Path) -> None:
    path = workspace(project, "run", ["seed=5"])
    assert _git(path, "rev-parse", "HEAD") == _git(project, "rev-parse", "HEAD")


def test_an_ignored_corpus_of_the_project_is_linked(project: Path) -> None:
    text = (project / "params.yaml").read_text()
    changed = text.replace("source: data/photographs/sky", "source: data/mine")
    (project / "params.yaml").write_text(changed)
    (project / "data/mine").mkdir(parents=True)
    (project / "data/mine/a.png").write_bytes(b"x")
    path = workspace(project, "run", ["seed=5"])
    assert (path / "data/mine/a.png").read_bytes() == b"x"


def test_a_run_with_a_preset_has_it_in_its_params_and_its_benchmarks_linked(project: Path) -> None:
    names = ("all/gt", "all/synthetic", "media/jdway/GameSSD/overlapping/test/Snow100K-L/gt")
    for name in names:
        (project / "data/benchmarks/Snow100K" / name).mkdir(parents=True)
        (project / "data/benchmarks/Snow100K" / name / "a.jpg").write_bytes(b"x")
    path = workspace(project, "run", ["tasks.snow.pairs=0.5"], ["snow"])
    tasks = load(path / "params.yaml").tasks
    assert set(tasks) == {"snow"}
    assert tasks["snow"].pairs == 0.5
    for name in names:
        assert (path / "data/benchmarks/Snow100K" / name / "a.jpg").read_bytes() == b"x"
    assert set(load(project / "params.yaml").tasks) != {"snow"}


def test_a_source_inside_another_is_linked_with_it(project: Path) -> None:
    text = (project / "params.yaml").read_text()
    inner = text.replace("source: data/photographs/nature", "source: data/mine/nature")
    outer = inner.replace("source: data/photographs/sky", "source: data/mine")
    (project / "params.yaml").write_text(outer)
    for name in ("sky.png", "nature/nature.png"):
        (project / "data/mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (project / "data/mine" / name).write_bytes(b"x")
    path = workspace(project, "run", ["seed=5"])
    assert (path / "data/mine/sky.png").exists()
    assert (path / "data/mine/nature/nature.png").exists()


def test_a_bad_override_is_refused_before_anything_is_made(project: Path) -> None:
    with pytest.raises(UserError, match=r"no 'sead'.*seed"):
        workspace(project, "run", ["sead=5"])
    with pytest.raises(UserError, match=r"no preset 'snw', did you mean 'snow'"):
        workspace(project, "run", [], ["snw"])
    assert not (project / RUNS).exists()


def test_a_retried_run_finds_its_workspace_again(project: Path) -> None:
    path = workspace(project, "run", ["seed=5"])
    (path / "made.txt").write_text("by the first try")
    assert workspace(project, "run", ["seed=5"]) == path
    assert (path / "made.txt").exists()


def test_only_the_newest_runs_are_kept(project: Path) -> None:
    for run in range(KEEP + 3):
        workspace(project, f"run{run}", ["seed=5"])
    assert len(list((project / RUNS).iterdir())) == KEEP
    assert _git(project, "worktree", "list").count("\n") == KEEP


def test_a_trial_never_moves_the_champion_unless_it_says_so(project: Path) -> None:
    assert trial_overrides(project, []) == []
    assert trial_overrides(project, ["seed=1"]) == ["seed=1", "publish.alias=trial"]
    assert trial_overrides(project, [], ["snow"]) == ["publish.alias=trial"]
    explicit = ["publish.alias=champion"]
    assert trial_overrides(project, explicit) == explicit


def test_a_trial_publishes_to_the_projects_own_folder(project: Path) -> None:
    added = trial_overrides(project, ["publish.registry=models"])[-1]
    assert added == f"publish.registry={project / 'models'}"
