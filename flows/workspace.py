"""Where a run works: the project folder itself, or a snapshot of it with other params.

A run with overrides or presets must not touch the user's files, so it gets a git worktree that
holds the project folder as it is now (uncommitted changes included), shares DVC's cache and so
reuses every result that they leave valid.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dvc.config import Config, merge
from dvc.repo import Repo

from drdd.errors import UserError
from drdd.params import FILE, Params, load, overridden

RUNS = Path(".drdd/runs")
KEEP = 5


def workspace(root: Path, run: str, overrides: Sequence[str], presets: Sequence[str] = ()) -> Path:
    """The folder in which run `run` (any unique name) works.

    Raises UserError on a bad override or an unknown preset.
    """
    if not overrides and not presets:
        load(root / FILE)
        return root
    content = overridden(root / FILE, overrides, presets)  # refused before anything is made
    path = root / RUNS / run
    if not path.exists():
        _prune(root)
        _git(root, "worktree", "add", "--quiet", "--detach", str(path), _snapshot(root))
        _share_cache(root, path)
        _link_sources(root, path, load(root / FILE, overrides, presets))
    (path / FILE).write_text(content)
    return path


def trial_overrides(root: Path, overrides: Sequence[str], presets: Sequence[str] = ()) -> list[str]:
    """A run with overrides or presets is a trial: it must not move the champion unless it says so.

    A registry that is a folder of the project stays that folder.
    """
    if not overrides and not presets:
        return []
    publish = load(root / FILE, overrides, presets).publish
    added = []
    if not any(item.startswith("publish.alias=") for item in overrides):
        added.append("publish.alias=trial")
    if "://" not in publish.registry and not Path(publish.registry).is_absolute():
        added.append(f"publish.registry={root.resolve() / publish.registry}")
    return [*overrides, *added]


def _snapshot(root: Path) -> str:
    """A commit of the files as they are now, on no branch; the user's index is left alone."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        _git(root, "read-tree", "HEAD", env=index)
        _git(root, "add", "--all", env=index)
        tree = _git(root, "write-tree", env=index)
    if tree == _git(root, "rev-parse", "HEAD^{tree}"):
        return "HEAD"
    identity = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "drdd"), ("EMAIL", "drdd@localhost"))
    }
    return _git(root, "commit-tree", tree, "-p", "HEAD", "-m", "run snapshot", env=identity)


def _share_cache(root: Path, path: Path) -> None:
    """DVC's settings of the project, the local ones and its remote's keys included, and its cache."""
    local = path / ".dvc/config.local"
    local.touch(0o600)
    with Repo(str(root)) as repo, Config(str(path / ".dvc")).edit("local") as settings:
        for level in ("repo", "local"):
            merge(settings, repo.config.load_one(level))  # its paths are not relative to ours
        settings["cache"]["dir"] = repo.cache.local_cache_dir


def _link_sources(root: Path, path: Path, params: Params) -> None:
    """What lies in ignored folders of the project is in no snapshot: link to corpora and checkpoints."""
    sources = {corpus.source for corpus in params.corpora.values()}
    sources |= {side for pairs in params.paired.values() for side in (pairs.input, pairs.target)}
    # In order of path, so that a folder is linked before what is inside it.
    for named in sorted(sources | {params.train.noise.start}, key=Path):
        source = Path(named)
        made_by_a_stage = source.parts[:2] == ("data", "photographs")
        if "://" in named or source.is_absolute() or made_by_a_stage:
            continue
        if (root / source).exists() and not (path / source).exists():
            (path / source).parent.mkdir(parents=True, exist_ok=True)
            (path / source).symlink_to(root / source)


def _prune(root: Path) -> None:
    """Only the newest few run folders are kept."""
    runs = sorted((root / RUNS).glob("*"), key=lambda path: path.stat().st_mtime)
    for path in runs[: -(KEEP - 1)]:
        shutil.rmtree(path, ignore_errors=True)
    _git(root, "worktree", "prune")


def _git(root: Path, *arguments: str, env: dict[str, str] | None = None) -> str:
    result = subprocess.run(
        ["git", *arguments], cwd=root, env=os.environ | (env or {}), capture_output=True, text=True
    )
    if result.returncode != 0:
        raise UserError(
            f"git {arguments[0]} failed in {root}: {result.stderr.strip()}; "
            "a run with overrides or presets needs a git checkout with at least one commit"
        )
    return result.stdout.strip()
