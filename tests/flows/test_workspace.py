"""A run sees the project as it is, or as it was at a revision; the user's files see nothing of it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from drdd.errors import TransientError, UserError
from drdd.params import load
from flows.git import worktree_tree
from flows.workspace import DONE, KEEP, MADE, RUNS, trial_overrides, workspace
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
    for name in ("code.py", "gone.py"):
        (root / name).write_text("committed")
    _git(root, "add", "--all")
    _git(root, "commit", "-qm", "first")
    return root


@contextmanager
def _worked(project: Path, run: str, *overrides: str, **more: Any) -> Iterator[Path]:
    with workspace(project, run, more.pop("rev", ""), overrides, **more) as place:
        yield place.path


def _made(project: Path, run: str, *overrides: str, **more: Any) -> Path:
    with _worked(project, run, *overrides, **more) as path:
        return path


def _killed(project: Path, run: str, *overrides: str) -> Path:
    with suppress(KeyboardInterrupt), _worked(project, run, *overrides) as path:
        raise KeyboardInterrupt
    return path


def test_a_run_works_in_a_snapshot_of_the_project(project: Path) -> None:
    (project / "code.py").write_text("changed, not committed")
    (project / "new.py").write_text("not even added")
    (project / "gone.py").unlink()
    (project / "data").mkdir()
    (project / "data/ignored").write_text("")
    before = _git(project, "status", "--porcelain"), (project / "params.yaml").read_bytes()
    path = _made(project, "run", "seed=5")
    assert load(path / "params.yaml").seed == 5
    assert (path / "code.py").read_text() == "changed, not committed"
    assert (path / "new.py").read_text() == "not even added"
    assert not (path / "gone.py").exists()
    assert not (path / "data").exists()
    assert before == (
        _git(project, "status", "--porcelain"),
        (project / "params.yaml").read_bytes(),
    )
    with Repo(str(project)) as ours, Repo(str(path)) as theirs:
        assert ours.cache.local.path == theirs.cache.local.path


def test_a_run_of_a_revision_has_its_files(project: Path) -> None:
    (project / "code.py").write_text("of the second commit")
    _git(project, "commit", "-qam", "second")
    path = _made(project, "run", rev="HEAD~1")
    assert (path / "code.py").read_text() == "committed"
    assert _git(path, "rev-parse", "HEAD") == _git(project, "rev-parse", "HEAD~1")
    with pytest.raises(UserError, match="git knows no commit, branch or tag 'nothing'"):
        _made(project, "other", rev="nothing")


def test_a_branch_is_that_of_the_remote(project: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    _git(project, "clone", "-q", str(project), str(clone))
    branch = _git(project, "branch", "--show-current")
    (project / "code.py").write_text("pushed later")
    _git(project, "commit", "-qam", "later")
    assert (_made(clone, "run", rev=branch) / "code.py").read_text() == "pushed later"


def test_an_ignored_corpus_of_the_project_is_linked(project: Path) -> None:
    text = (project / "params.yaml").read_text()
    changed = text.replace("source: data/photographs/sky", "source: data/mine")
    (project / "params.yaml").write_text(changed)
    (project / "data/mine").mkdir(parents=True)
    (project / "data/mine/a.png").write_bytes(b"x")
    path = _made(project, "run", "seed=5")
    assert (path / "data/mine/a.png").read_bytes() == b"x"


def test_weights_of_the_users_own_are_linked_file_by_file(project: Path) -> None:
    """DVC follows a linked file, but no linked folder, and would not see what is in one."""
    for name in ("uncond.pt", "mine/config.json", "mine/model.safetensors"):
        (project / "pretrained" / name).parent.mkdir(parents=True, exist_ok=True)
        (project / "pretrained" / name).write_text(name)
    path = _made(project, "run", "seed=5")
    assert not (path / "pretrained/mine").is_symlink()
    for name in ("uncond.pt", "mine/config.json", "mine/model.safetensors"):
        assert (path / "pretrained" / name).is_symlink()
        assert (path / "pretrained" / name).read_text() == name


def test_pictures_that_a_stage_makes_are_not_linked(project: Path) -> None:
    text = (project / "params.yaml").read_text()
    drawn = text.replace("source: data/photographs/sky", "source: data/synthetic/leaves")
    (project / "params.yaml").write_text(drawn)
    for name in ("photographs/nature", "synthetic/leaves"):
        (project / "data" / name).mkdir(parents=True)
    assert not (_made(project, "run", "seed=5") / "data").exists()


def test_a_run_with_a_preset_has_it_in_its_params_and_its_benchmarks_linked(project: Path) -> None:
    names = ("all/gt", "all/synthetic", "media/jdway/GameSSD/overlapping/test/Snow100K-L/gt")
    for name in names:
        (project / "data/benchmarks/Snow100K" / name).mkdir(parents=True)
        (project / "data/benchmarks/Snow100K" / name / "a.jpg").write_bytes(b"x")
    path = _made(project, "run", "tasks.snow.pairs=0.5", presets=["snow"])
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
    path = _made(project, "run", "seed=5")
    assert (path / "data/mine/sky.png").exists()
    assert (path / "data/mine/nature/nature.png").exists()


@pytest.mark.parametrize("ignored", [False, True], ids=["list in git", "list ignored"])
def test_what_a_list_names_is_linked(project: Path, ignored: bool) -> None:
    """Paths from the list's folder to pictures that git ignores: single files where stages write."""
    folder = "data/mine/lists" if ignored else "lists"
    up = "../" if ignored else "../data/mine/"
    cells = [f"{up}img/0.png", f"{up}img/1.png (70,70,3)", f"{up}../loose.png", f"{up}gone.png"]
    for name in ("mine/img/0.png", "mine/img/1.png", "loose.png", "corpora/other/x"):
        (project / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (project / "data" / name).write_text(name)
    (project / folder).mkdir()
    (project / folder / "a.txt").write_text("\n".join(cells))
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(
        text.replace("source: data/photographs/sky", f"source: {folder}/a.txt")
    )
    path = _made(project, "run", "seed=5")
    for name in ("mine/img/0.png", "mine/img/1.png", "loose.png"):
        assert (path / "data" / name).read_text() == name
    assert not (path / "data").is_symlink()
    assert not (path / "data/corpora").exists()
    assert not (path / "data/mine/gone.png").exists()


def test_what_a_list_names_among_what_a_stage_makes_is_the_runs_own(project: Path) -> None:
    for name in ("data/photographs/nature/a.png", "data/synthetic/leaves/0.png", "data/mine/b.png"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(name)
    (project / "lists").mkdir()
    (project / "lists/a.txt").write_text(
        "../data/photographs/nature/a.png\n../data/synthetic/leaves/0.png\n../data/mine/b.png\n"
    )
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(
        text.replace("source: data/photographs/sky", "source: lists/a.txt")
    )
    path = _made(project, "run", "seed=5")
    assert [one.name for one in (path / "data").iterdir()] == ["mine"]


def test_a_source_far_above_the_project_is_to_be_absolute(project: Path) -> None:
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(
        text.replace("source: data/photographs/sky", "source: ../../mine")
    )
    with pytest.raises(
        UserError,
        match=r"\.\./\.\./mine, seen from the project, lies too far above .* absolute path",
    ):
        _made(project, "run", "seed=5")


def test_what_a_list_names_far_above_the_project_is_refused_not_left_out(project: Path) -> None:
    (project / "lists").mkdir()
    (project / "lists/a.txt").write_text("../../../mine/0.png\n")
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(
        text.replace("source: data/photographs/sky", "source: lists/a.txt")
    )
    with pytest.raises(UserError, match=r"\.\./\.\./mine/0\.png, .* absolute path"):
        _made(project, "run", "seed=5")


def test_a_registry_that_is_a_folder_is_the_projects(project: Path) -> None:
    path = _made(project, "run", "publish.registry=published")
    (path / "published/alias").write_text("x")
    assert (project / "published/alias").read_text() == "x"
    assert "published" not in _git(path, "ls-tree", "--name-only", worktree_tree(path))


def test_a_bad_override_is_refused_and_leaves_nothing(project: Path) -> None:
    with pytest.raises(UserError, match=r"sead: unknown key, did you mean 'seed'"):
        _made(project, "run", "sead=5")
    with pytest.raises(UserError, match=r"no preset 'snw', did you mean 'snow'"):
        _made(project, "run", presets=["snw"])
    assert not (project / RUNS / "run").exists()
    assert len(_git(project, "worktree", "list").splitlines()) == 1


def test_a_run_that_was_killed_finds_its_workspace_and_its_checkpoints_again(project: Path) -> None:
    path = _killed(project, "run", "seed=5")
    (path / "made.txt").write_text("by the first try")
    (path / ".drdd/checkpoints/noise").mkdir()
    (path / ".dvc/tmp").mkdir(exist_ok=True)
    (path / ".dvc/tmp/rwlock").write_text("of a process that is gone")
    with _worked(project, "run", "seed=5") as again:
        assert again == path
        assert (path / "made.txt").exists()
        assert not (path / ".dvc/tmp/rwlock").exists()
    # Another run of the same goes on from the same checkpoints.
    assert (_made(project, "other", "seed=5") / ".drdd/checkpoints/noise").is_dir()


def test_a_workspace_that_a_power_loss_left_incomplete_is_made_anew(project: Path) -> None:
    """The files that git wrote may be empty then, and a run of empty modules would be wrong in silence."""
    path = _made(project, "run")
    (path / MADE).unlink()  # as if the power had gone before everything was on disk
    (path / "code.py").write_text("")
    with _worked(project, "run") as again:
        assert again == path
        assert (path / "code.py").read_text() == "committed"


def test_a_second_process_of_a_run_waits_for_the_first(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.workspace.PATIENCE_S", 0)
    with (
        _worked(project, "run"),
        pytest.raises(TransientError, match="another process"),
        _worked(project, "run"),
    ):
        pass


def test_the_newest_folders_are_kept_and_those_that_are_not_done(project: Path) -> None:
    _killed(project, "stopped")
    _killed(project, "forgotten")
    os.utime(project / RUNS / "forgotten.lock", (0, 0))
    with _worked(project, "running"):
        for number in range(KEEP + 3):
            path = _made(project, f"run{number}")
            os.utime(path / DONE, (number, number))
        kept = {path.name for path in (project / RUNS).iterdir() if path.is_dir()}
        listed = _git(project, "worktree", "list", "--porcelain").splitlines()
    newest = {f"run{number}" for number in range(3, KEEP + 3)}
    assert kept == {"stopped", "running", *newest}
    known = {Path(line[9:]).name for line in listed if line.startswith("worktree ")}
    assert known == {"project", *kept}


def test_keys_that_the_environment_has_are_in_no_workspace(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remotes = "".join(
        f"['remote \"{name}\"']\n    url = s3://bucket/{name}\n    access_key_id = {key}\n"
        f"    secret_access_key = {key}-secret\n"
        for name, key in (("stack", "of-the-stack"), ("mine", "of-mine"))
    )
    (project / ".dvc/config.local").write_text(remotes)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-stack")
    text = (_made(project, "run") / ".dvc/config.local").read_text()
    assert "of-the-stack" not in text
    assert "of-mine-secret" in text  # of a store that the environment does not lead to


def test_a_trial_moves_no_alias_unless_it_says_what_is_published() -> None:
    assert trial_overrides([], []) == []
    assert trial_overrides(["seed=1"], []) == ["seed=1", "publish.promote=false"]
    assert trial_overrides([], ["snow"]) == ["publish.promote=false"]
    assert trial_overrides(["publish.alias=mine"], []) == ["publish.alias=mine"]


@pytest.mark.parametrize("tracked", [True, False])
def test_names_of_any_bytes_are_in_the_snapshot(project: Path, tracked: bool) -> None:
    names = [
        b"notiz_\xfcber.txt",
        b" blank",
        b"line\nbreak",
        b'"quoted"',
        b"[x]*?",
        b"-rf",
        b":(top)",
    ]
    (project / "été").mkdir()
    for name in [*names, "été/é.txt".encode()]:
        Path(os.fsdecode(os.fsencode(project) + b"/" + name)).write_bytes(name)
    (project / "away\n[1]").symlink_to("/nowhere")  # a place on this machine
    if tracked:
        _git(project, "add", "--all", "--", ".", ":(exclude)away*")
        _git(project, "commit", "-qm", "names")
    with _worked(project, "run") as path:
        for name in names:
            copied = Path(os.fsdecode(os.fsencode(path) + b"/" + name))
            assert copied.read_bytes() == name
        assert (path / "été/é.txt").is_file()
        assert not (path / "away\n[1]").is_symlink()


@pytest.mark.parametrize("committed", [True, False])
def test_a_repository_in_the_project_folder_is_left_out(project: Path, committed: bool) -> None:
    (project / "other").mkdir()
    _git(project / "other", "init", "-q")
    (project / "other/x").write_text("x")
    if committed:
        _git(project / "other", "add", "x")
        _git(project / "other", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x")
    with _worked(project, "run") as path:
        assert not (path / "other").exists()
        assert (path / "code.py").is_file()


def test_many_links_fit_a_command_line(project: Path) -> None:
    for n in range(1200):
        (project / f"{n:0200}").symlink_to("/nowhere")
    (project / "new.py").write_text("new")
    with _worked(project, "run") as path:
        assert (path / "new.py").is_file()
        assert not (path / f"{7:0200}").is_symlink()
