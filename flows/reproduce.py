"""`python -m flows.reproduce STAGE [--force]`: one stage of the workspace that is the current folder.

In a process of its own, whose output is the stage's, and which ends the stage when it is told to end.
The last line is UNCHANGED, RAN or RESTORED, as soon as the outputs are there; it goes on until DVC's remote
has them too. Exit status: 75 when trying again may help, else 1. Without a stage it imports what it will
need and waits for a Wish, a line of JSON, so that a run has one ready in advance.
"""

import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

import psutil
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.rwlock import RWLockFileCorruptedError, RWLockFileFormatError
from dvc.ui import ui

from drdd.errors import TransientError, UserError
from drdd.stages.run import EXIT_TRANSIENT
from drdd.storage.filesystems import explained
from flows import cache
from flows.graph import BUSY_PATIENCE_S, BUSY_POLL_S, dump, found, locked, opened

UNCHANGED, RAN, RESTORED = "drdd: unchanged", "drdd: ran", "drdd: restored"
MADE = (UNCHANGED, RAN, RESTORED)
REMOTE = "DVC's remote"
JOB = "DRDD_RAY_JOB"  # where a stage writes which job of the Ray cluster it is
AHEAD = ("dvc.scm", "dvc.repo.fetch", "dvc_s3", "s3fs")


@dataclass(frozen=True)
class Wish:
    """job: the path where the stage leaves the number of its Ray job."""

    stage: str
    force: bool
    job: str = ""


def current(stages: Iterable[str]) -> frozenset[str]:
    """Those with nothing to do: their outputs are those of their inputs as they are, and are to be had."""
    with opened(Path()) as repo, locked(repo):
        return frozenset(name for name in stages if _is_current(repo, name))


def _is_current(repo: Repo, stage: str) -> bool:
    one, upstream = found(repo, stage)
    changed = one.changed(allow_missing=True, upstream=upstream)
    return not (changed or cache.lost(repo, one) or cache.is_owed(repo, one))


def is_had(stage: str) -> bool:
    """Whether outputs that dvc.lock names are to be had, whatever they were made of."""
    with opened(Path()) as repo, locked(repo):
        one, _ = found(repo, stage)
        return all(out.hash_info for out in one.outs) and not cache.lost(repo, one)


def reproduce(repo: Repo, stage: str, force: bool, tell: Callable[[str], None]) -> None:
    """Bring the stage's outputs up to date, in the cache and in the remote.

    Tells UNCHANGED, RAN, or RESTORED when the same was made before, in whatever workspace; after that only
    the remote is waited for. Of runs that would make the same at once, one makes it and the others wait
    for it. Raises TransientError when a store does not answer, DvcException when the stage fails.
    """
    with locked(repo), explained(REMOTE):
        if not force and _is_current(repo, stage):
            return tell(UNCHANGED)
        one, _ = found(repo, stage)
        cache.bring(repo, one)
        name = cache.key(one)
    with _alone(Path(repo.cache.legacy.path) / "flights" / name):
        with locked(repo), explained(REMOTE):
            made = not force and cache.recall(repo, found(repo, stage)[0], name)
            if not made:
                cache.bring_all(repo, found(repo, stage)[0])
        with locked(repo):
            one, upstream = found(repo, stage)
            again = force or (not made and bool(cache.lost(repo, one)))
            if one.reproduce(force=again, allow_missing=True, upstream=upstream):
                dump(one, Path())
            cache.owe(repo, one)
        tell(RESTORED if made else RAN)
        with explained(REMOTE):
            cache.push(repo, one, name)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time of all that share DVC's cache."""
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
                continue  # whoever had it has just taken it away
            try:
                yield
            finally:
                path.unlink()
        return


def _patiently(repo: Repo, stage: str, force: bool) -> None:
    """Stages of one workspace that run at once collide on DVC's locks now and then; that passes."""
    give_up = time.monotonic() + BUSY_PATIENCE_S
    while True:
        try:
            return reproduce(repo, stage, force, tell=partial(print, flush=True))
        except (RWLockFileCorruptedError, RWLockFileFormatError):
            Path(".dvc/tmp/rwlock").unlink(missing_ok=True)  # its writer was killed
        except LockError:
            if time.monotonic() > give_up:
                raise
        time.sleep(BUSY_POLL_S)


def _ask_to_end(*_: object) -> None:
    """A stage is told by whoever tells us, and ends in order; without one there is nothing to wait for."""
    if not psutil.Process().children():
        sys.exit(EXIT_TRANSIENT)


def _given(repo: Repo) -> Wish | None:
    """What the arguments say, else a line that is waited for, with all done that can be in advance."""
    if len(sys.argv) > 1:
        return Wish(sys.argv[1], "--force" in sys.argv[2:])
    for name in AHEAD:
        with suppress(ImportError):  # which will be said where it is needed
            import_module(name)
    with suppress(Exception):
        cache.meet(repo)
    line = sys.stdin.readline()
    return Wish(**json.loads(line)) if line else None


def _main() -> None:
    for asked in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked, _ask_to_end)
    with opened(Path()) as repo:
        given = _given(repo)
        if given is None:
            return  # nobody wanted anything any more
        if given.job:
            os.environ[JOB] = given.job
        try:
            _patiently(repo, given.stage, given.force)
        except (TransientError, LockError) as error:
            ui.error_write(f"{given.stage}: {error}")
            sys.exit(EXIT_TRANSIENT)
        except (UserError, DvcException) as error:
            ui.error_write(f"{error.__cause__ or error}")
            sys.exit(1)


if __name__ == "__main__":
    _main()
