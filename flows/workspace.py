"""The folder of a run: a git worktree of a commit, or of the project folder as it is now.

It shares DVC's cache and the training checkpoints with the project: finished stages are restored, and an
interrupted training resumes. The user's files are not changed.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dvc.config import Config, merge
from dvc.repo import Repo

from drdd.errors import TransientError, UserError
from drdd.files import exists, flush_tree, is_file, make_folder, write_bytes
from drdd.params import FILE, PRETRAINED, Params, load, overridden
from drdd.sources.entry import Entry, rows
from drdd.sources.lists import is_list, is_table
from flows import experiments
from flows.git import checked, commit_of, git, worktree_tree

RUNS = Path(".drdd/runs")
SHARED = (Path(".drdd/checkpoints"), Path(".drdd/tensorboard"))
MADE = Path(".drdd/made")  # in a workspace that is complete and on disk
DONE = Path(".drdd/done")  # in the workspace of a completed run
WRITTEN = (Path(), Path("data"), Path("models"), Path("results"))  # by stages: never a link
KEEP = 5
PATIENCE_S = 600.0
FORGOTTEN_S = 7 * 24 * 3600.0  # after which a stopped or failed run loses its folder
CACHE = "DRDD_DVC_CACHE"  # a folder for DVC's cache, such as one that several machines mount
KEYS = ("access_key_id", "secret_access_key", "session_token", "endpointurl")


@dataclass(frozen=True)
class Workspace:
    """path: the folder; baseline: the baseline commit of the run's experiment."""

    path: Path
    baseline: str


@contextmanager
def workspace(
    root: Path, run: str, rev: str, overrides: Sequence[str], presets: Sequence[str] = ()
) -> Iterator[Workspace]:
    """The folder of run `run` (any unique name), locked for this process until the block ends.

    rev: a commit, tag or branch; "" for the present project folder, with uncommitted changes. A restarted
    run finds its workspace as it left it. Raises UserError on a bad override, an unknown preset or rev;
    TransientError when another process of the run uses the workspace.
    """
    path = (root / RUNS / run).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f"{run}.lock").open("w") as held:
        _lock(held, path)
        if not (path / MADE).exists():
            with _one_at_a_time(root):
                _make(root, path, rev, overrides, presets)
        # Its entries are of processes that have ended; other processes may have their numbers now.
        (path / ".dvc/tmp/rwlock").unlink(missing_ok=True)
        baseline = git(path, "rev-parse", "HEAD")
        yield Workspace(path, baseline)
        (path / DONE).touch()
    with _one_at_a_time(root):
        _prune(root)


def _lock(file: IO[str], path: Path) -> None:
    """Wait for another process of the same run: it may only be cut off from the server."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise TransientError(f"{path}: another process of this run works in it") from None
            time.sleep(1)


def trial_overrides(overrides: Sequence[str], presets: Sequence[str] = ()) -> list[str]:
    """Overrides for a trial, a run with overrides or presets:

    it moves no alias unless they set publish.*.
    """
    trial = bool(overrides or presets)
    said = any(item.startswith("publish.") for item in overrides)
    return [*overrides, "publish.promote=false"] if trial and not said else list(overrides)


def _make(
    root: Path, path: Path, rev: str, overrides: Sequence[str], presets: Sequence[str]
) -> None:
    commit, tree = _source(root, rev)
    shutil.rmtree(path, ignore_errors=True)  # of a run that was killed at this point
    git(root, "worktree", "prune")
    git(root, "worktree", "add", "--quiet", "--detach", "--no-checkout", "--", str(path), commit)
    try:
        git(path, "read-tree", "--reset", "-u", "--end-of-options", tree)
        if overrides or presets:
            (path / FILE).write_text(overridden(path / FILE, overrides, presets))
        params = load(path / FILE)
        _share_cache(root, path)
        _link_sources(root, path, params)
        experiments.resume(path, commit)
        for shared in SHARED:
            (root / shared).mkdir(parents=True, exist_ok=True)
            (path / shared).parent.mkdir(parents=True, exist_ok=True)
            (path / shared).symlink_to(root / shared)
        flush_tree(path)
        write_bytes(path / MADE, b"")
    except BaseException:
        _remove(root, path)
        raise


def _source(root: Path, rev: str) -> tuple[str, str]:
    """The baseline commit of a run, and the tree of files that it begins with."""
    if not rev:
        return git(root, "rev-parse", "HEAD"), worktree_tree(root)
    checked(rev)
    if git(root, "remote"):
        git(root, "fetch", "--quiet", "--all", "--tags")
    for name in (f"origin/{rev}", rev):
        if found := commit_of(root, name):
            return found, found
    raise UserError(f"{root}: git knows no commit, branch or tag {rev!r}")


def _share_cache(root: Path, path: Path) -> None:
    """Use the DVC settings and cache of the project. Keys in the environment are not copied."""
    local = path / ".dvc/config.local"
    local.touch(0o600)
    with Repo(str(root)) as repo, Config(str(path / ".dvc")).edit("local") as settings:
        for level in ("repo", "local"):
            merge(
                settings, repo.config.load_one(level)
            )  # its paths are not relative to the workspace
        for remote in settings["remote"].values():
            if remote.get("access_key_id") == os.environ.get("AWS_ACCESS_KEY_ID"):
                for name in KEYS:
                    remote.pop(name, None)
        settings["cache"]["dir"] = os.environ.get(CACHE) or repo.cache.local_cache_dir
        settings["cache"].setdefault("type", "reflink,hardlink,copy")


def _link_sources(root: Path, path: Path, params: Params) -> None:
    """Link to files in ignored folders of the project, which are in no commit.

    These are corpora, what their lists name, weights below pretrained/ (each file, as DVC follows no linked
    folder), and a registry that is a folder.
    """
    registry = params.publish.registry
    if "://" not in registry:
        make_folder(root / registry)
    # In order of path, so that a folder is linked before its content.
    weights = {str(f.relative_to(root)) for f in (root / PRETRAINED).rglob("*") if f.is_file()}
    for named in sorted(sources_of(params) | {registry} | weights, key=Path):
        source = Path(named)
        if "://" in named or source.is_absolute() or _is_made(source):
            continue
        _refuse_far(named)
        _link(root, path, source)
    for file in sorted(_listed_in(root, params)):
        whole = file.parent not in WRITTEN and not (path / file.parent).exists()
        _link(root, path, file.parent if whole else file)


def _is_made(name: Path) -> bool:
    """Whether a stage makes it: in a run, only the run's own."""
    return name.parts[:2] in (("data", "photographs"), ("data", "synthetic"))


def _link(root: Path, path: Path, name: Path) -> None:
    if exists(root / name) and not exists(path / name):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).symlink_to(root / name)


def _listed_in(root: Path, params: Params) -> set[Path]:
    """The local files that lists and tables name by relative paths, below `root` or from there."""
    asked: list[tuple[str, tuple[str, ...]]] = [
        (one.source, (one.column,)) for one in params.corpora.values()
    ]
    for one in params.paired.values():
        columns: tuple[str, ...] = (one.columns.input, one.columns.target)
        table = is_table(one.input) and one.input == one.target
        asked += [(one.input, columns if table else columns[:1]), (one.target, columns[1:])]
    found: set[Path] = set()
    for source, columns in asked:
        local = "://" not in source and not Path(source).is_absolute()
        if local and is_list(source) and is_file(root / source):
            with suppress(UserError):  # which the stage check says, and the stage itself
                entries = [one for row in rows(str(root / source), columns) for one in row]
                found |= {Path(os.path.relpath(e.where, root)) for e in entries if _is_relative(e)}
    for name in found:
        _refuse_far(str(name))
    return {name for name in found if not _is_made(name)}


def _is_relative(entry: Entry) -> bool:
    """Whether a list names a local file by a path from its own folder."""
    return not entry.refusal and "://" not in entry.where and not Path(entry.name).is_absolute()


def _refuse_far(name: str) -> None:
    if _leads_out(Path(name)):
        raise UserError(
            f"{FILE}: {name}, seen from the project, lies too far above it for a run's folder; write it "
            "as an absolute path"
        )


def _leads_out(name: Path) -> bool:
    """Whether a relative path would lead out of .drdd/runs, where the run's folder is."""
    return Path(os.path.normpath(name)).parts[: len(RUNS.parts)] == ("..",) * len(RUNS.parts)


def sources_of(params: Params) -> set[str]:
    """The sources of all corpora."""
    sources = {corpus.source for corpus in params.corpora.values()}
    return sources | {
        side for pairs in params.paired.values() for side in (pairs.input, pairs.target)
    }


@contextmanager
def _one_at_a_time(root: Path) -> Iterator[None]:
    """One process at a time may change git's list of worktrees and delete folders."""
    with (root / RUNS / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _prune(root: Path) -> None:
    """Keep the newest KEEP completed runs, and others until FORGOTTEN_S after they began."""
    done = sorted(
        (path.parent.parent for path in (root / RUNS).glob(f"*/{DONE}")),
        key=lambda path: (path / DONE).stat().st_mtime,
    )
    old = time.time() - FORGOTTEN_S
    for lock in (root / RUNS).glob("*.lock"):
        path = lock.with_suffix("")
        if path in done[:-KEEP] or (
            path not in done and lock.stat().st_mtime < old and _free(lock)
        ):
            _remove(root, path)
            lock.unlink()


def _free(lock: Path) -> bool:
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _remove(root: Path, path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    git(root, "worktree", "prune")
