"""Write files and folders: a reader finds the old one or the new one, whole, also after a power loss.

What is written has a temporary name, is flushed to disk, and takes its place by one rename, which is
flushed as well: a new name is lost with the power until its folder is on disk.
"""

import ctypes
import errno
import fcntl
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from glob import escape
from hashlib import sha256
from pathlib import Path
from typing import Any

FLUSHES = 8  # at once: a disk flushes many files together
# Some file systems of a network flush no folder, or let no one open it who may only write there.
UNFLUSHABLE = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)
LONGEST = 200  # bytes of a name that is part of a temporary one
SWAP = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def atomic_path(path: Path, durable: bool = True) -> Iterator[Path]:
    """A temporary path, renamed to `path` when the block ends, and deleted if the block fails.

    durable: the new file outlives a power loss from the end of the block on. Without it nothing is flushed:
    after a power loss the file may be the old one, the new one, or damaged. That is for what is written
    often and may be lost, such as progress.
    """
    make_folder(path.parent)
    temporary = _temporary(path)
    try:
        yield temporary
        if durable:
            flush(temporary)
        temporary.replace(path)
        if durable:
            flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes, durable: bool = True) -> None:
    with atomic_path(path, durable) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Any, durable: bool = True) -> None:
    """Write indented JSON in the given key order. Raises ValueError for NaN, which is not valid JSON."""
    write_bytes(path, json_bytes(content), durable)


def json_bytes(content: Any) -> bytes:
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill, which replaces `path` when the block ends; it is on disk then.

    If the block fails, `path` is unchanged. Where the file system cannot exchange two names, such as NFS,
    `path` is missing for a moment; if the process is killed in it, the next call puts the old folder back.
    Leftovers of killed processes are deleted; a living one holds a lock on its temporary folder.
    """
    make_folder(path.parent)
    with _locked(path.parent):
        _clear(path)
        temporary = _temporary(path)
        temporary.mkdir()
        lock = os.open(temporary, os.O_RDONLY)
        with suppress(OSError):  # no locks on folders here: leftovers are then left alone
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield temporary
        flush_tree(temporary)
        with _locked(path.parent):
            _put(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # the new one that failed, or the old one
        os.close(lock)


def make_folder(path: Path) -> None:
    """Make a folder and its parents, each flushed to disk."""
    missing = [one for one in (path, *path.parents) if not one.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for one in missing:
        flush(one.parent)


def exists(path: str | Path) -> bool:
    """As Path.exists. False also for a name that no disk takes, for which Path raises an error."""
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: str | Path) -> bool:
    """As Path.is_file. False also for a name that no disk takes, for which Path raises an error."""
    return os.path.isfile(path)  # noqa: PTH113


def delete(path: Path) -> None:
    """Delete a file for good. Raises FileNotFoundError when there is none."""
    path.unlink()
    flush(path.parent)


def flush(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk."""
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        if error.errno not in UNFLUSHABLE or not path.is_dir():
            raise


def flush_tree(folder: Path) -> None:
    """Flush a folder and all files and folders in it."""
    found = [folder, *folder.rglob("*")]
    plain = (path for path in found if not path.is_symlink() and (path.is_file() or path.is_dir()))
    with ThreadPoolExecutor(FLUSHES) as threads:
        list(threads.map(flush, plain))


def _temporary(path: Path) -> Path:
    """A name of its own for each writer, on any machine that shares the folder."""
    return path.with_name(f".{_short(path.name)}.{secrets.token_hex(6)}.tmp")


def _short(name: str) -> str:
    """A name that leaves room for more letters, which a disk allows 255 bytes in all."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= LONGEST else sha256(encoded).hexdigest()


def _clear(path: Path) -> None:
    """Put back an old folder that lost its name in `_put`, and delete what no process writes."""
    for left in sorted(path.parent.glob(f".{escape(_short(path.name))}.*.old")):
        if path.exists():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.rename(path)
    for left in path.parent.glob(f".{escape(_short(path.name))}.*.tmp"):
        with suppress(OSError):
            lock = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)


def _put(folder: Path, path: Path) -> None:
    """Give a flushed folder the name `path`. The folder that had it has the other name, or is deleted."""
    try:
        folder.rename(path)  # takes the place of none, or of an empty one
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if not _exchanged(folder, path):
            old = folder.with_suffix(".old")
            path.rename(old)
            folder.rename(path)
            flush(path.parent)
            shutil.rmtree(old, ignore_errors=True)
    flush(path.parent)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system or the file system has no such step."""
    swap = getattr(_LIBC, "renamex_np" if sys.platform == "darwin" else "renameat2", None)
    if swap is None:
        return False
    first, second = os.fsencode(one.absolute()), os.fsencode(other.absolute())
    here = () if sys.platform == "darwin" else (-1,)  # the folder of a relative path: there is none
    done: bool = swap(*here, first, *here, second, SWAP) == 0
    return done


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time gives names in a folder, where the file system locks folders."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
