"""`python -m flows.reproduce STAGE [--force]`: run one stage of the workspace in the current folder.

It is a separate process that prints the output of the stage, and ends the stage on SIGTERM. The status of
the stage (drdd.progress) gets the outcome UNCHANGED, RAN or RESTORED as soon as the outputs are in DVC's
cache, or the failure. The process then pushes the outputs to DVC's remote and exits with status 0, or 1
on failure. Without a stage, it imports its modules and waits for a StageRequest, a line of JSON, so that
a run has a process ready in advance.
"""

import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path

import psutil
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.rwlock import RWLockFileCorruptedError, RWLockFileFormatError
from dvc.ui import ui

from drdd.errors import OUT_OF_MEMORY, Failure, failure_of
from drdd.progress import Status, clear_status, read_status, write_status
from drdd.storage.filesystems import explained
from flows import cache
from flows.dvc_internals import was_killed
from flows.graph import dump, found, locked, opened

UNCHANGED, RAN, RESTORED = "unchanged", "ran", "restored"
REMOTE = "DVC's remote"
BUSY_POLL_S = 0.2
BUSY_PATIENCE_S = 900.0
PRELOADED = ("dvc.scm", "dvc.repo.fetch", "dvc_s3", "s3fs")


@dataclass(frozen=True)
class StageRequest:
    """The stage to run. force: even if its outputs are up to date."""

    stage: str
    force: bool


def current(stages: Iterable[str]) -> frozenset[str]:
    """The stages that are up to date and whose outputs exist here or can be fetched."""
    with opened(Path()) as repo, locked(repo):
        return frozenset(name for name in stages if _is_current(repo, name))


def _is_current(repo: Repo, stage: str) -> bool:
    one, upstream = found(repo, stage)
    changed = one.changed(allow_missing=True, upstream=upstream)
    return not (changed or cache.missing(repo, one) or cache.is_unpushed(repo, one))


def has_outputs(stage: str) -> bool:
    """Whether the outputs in dvc.lock exist here or can be fetched, even if they are not up to date."""
    with opened(Path()) as repo, locked(repo):
        one, _ = found(repo, stage)
        return all(out.hash_info for out in one.outs) and not cache.missing(repo, one)


def reproduce(repo: Repo, stage: str, force: bool, tell: Callable[[str], None]) -> None:
    """Bring the stage's outputs up to date, in the cache and in the remote.

    tell: called with UNCHANGED, RAN, or RESTORED (made before in any workspace) when only pushing to the
    remote remains. If several runs need the same outputs at once, one makes them and the others wait.
    Raises TransientError when a store does not answer, DvcException when the stage fails.
    """
    with locked(repo), explained(REMOTE):
        if not force and _is_current(repo, stage):
            return tell(UNCHANGED)
        one, _ = found(repo, stage)
        cache.fetch_deps(repo, one)
        key = cache.key(one)
    with _alone(Path(repo.cache.legacy.path) / "flights" / key):
        with locked(repo), explained(REMOTE):
            restored = not force and cache.restore_cached(repo, found(repo, stage)[0], key)
            if not restored:
                cache.fetch_upstream(repo, found(repo, stage)[0])
        with locked(repo):
            one, upstream = found(repo, stage)
            again = force or (not restored and bool(cache.missing(repo, one)))
            if one.reproduce(force=again, allow_missing=True, upstream=upstream):
                dump(one, Path())
            cache.mark_unpushed(repo, one)
        tell(RESTORED if restored else RAN)
        with explained(REMOTE):
            cache.push(repo, one, key)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """A lock among all processes that share DVC's cache."""
    path.parent.mkdir(parents=True, exist_ok=True)
    said = False
    while True:
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not said:
                    print("another run makes the same; waiting for it", flush=True)  # noqa: T201
                said = True
                time.sleep(BUSY_POLL_S)
                continue
            if not path.exists() or path.stat().st_ino != os.fstat(file.fileno()).st_ino:
                continue  # its holder has just deleted it
            try:
                yield
            finally:
                path.unlink()
        return


def _patiently(repo: Repo, stage: str, force: bool) -> None:
    """Reproduce, with retries: concurrent stages of a workspace may collide on DVC's locks of paths."""
    give_up = time.monotonic() + BUSY_PATIENCE_S
    while True:
        try:
            return reproduce(repo, stage, force, tell=partial(_tell, stage))
        except (RWLockFileCorruptedError, RWLockFileFormatError):
            Path(".dvc/tmp/rwlock").unlink(missing_ok=True)  # left by a killed writer
        except LockError:
            if time.monotonic() > give_up:
                raise
        time.sleep(BUSY_POLL_S)


def _tell(stage: str, outcome: str) -> None:
    status = read_status(stage) or Status(stage, "done")
    write_status(replace(status, state="done", outcome=outcome))


def _fail(stage: str, error: Exception) -> Failure:
    """Write the failure to the status, unless the stage has done so itself."""
    status = read_status(stage) or Status(stage, "failed")
    failure = status.failure or _failure(error)
    with suppress(OSError):  # such as on a full disk; the failure is also printed
        write_status(replace(status, state="failed", failure=failure))
    return failure


def _failure(error: Exception) -> Failure:
    if isinstance(error, LockError):
        return Failure("transient", str(error))
    if isinstance(error, DvcException):
        cause = error.__cause__ or error
        return Failure("unexpected", str(cause), OUT_OF_MEMORY if was_killed(cause) else "")
    return failure_of(error)


def _ask_to_end(*_: object) -> None:
    """Signal handler. The sender also signals the running stage, which ends in order; without one, exit."""
    if not psutil.Process().children():
        sys.exit(1)


def _request(repo: Repo) -> StageRequest | None:
    """The request of the arguments, or else of a line on stdin, with imports done while waiting."""
    if len(sys.argv) > 1:
        return StageRequest(sys.argv[1], "--force" in sys.argv[2:])
    for name in PRELOADED:
        with suppress(ImportError):  # reported where the module is needed
            import_module(name)
    with suppress(Exception):
        cache.connect(repo)
    line = sys.stdin.readline()
    return StageRequest(**json.loads(line)) if line else None


def _main() -> None:
    for asked in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked, _ask_to_end)
    with opened(Path()) as repo:
        request = _request(repo)
        if request is None:
            return  # the run has ended
        clear_status(request.stage)
        try:
            _patiently(repo, request.stage, request.force)
        except Exception as error:
            failure = _fail(request.stage, error)
            if failure.kind == "unexpected" and not isinstance(error, DvcException):
                raise
            ui.error_write(f"{request.stage}: {failure}")
            sys.exit(1)


if __name__ == "__main__":
    _main()
