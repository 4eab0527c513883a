"""The sources of images: a folder, an s3:// prefix, an archive, a list or a table of files.

Every cell of a list or table is an entry; other sources have the files with an image suffix, except below
names that begin with a dot and below __MACOSX. Symbolic links to folders are followed, but each folder is
listed only once, so that circular links end.
"""

import errno
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from posixpath import join
from typing import Any, BinaryIO

from drdd.errors import TransientError, UserError
from drdd.params.data import SOURCE
from drdd.sources.archives import (
    Archive,
    Member,
    Tar,
    archive,
    decompress,
    in_words,
    is_archive,
    is_compressed,
    shared_copy,
)
from drdd.sources.bounds import refuse_if_too_large
from drdd.sources.folders import files_below, is_hidden, open_regular, printable
from drdd.sources.lists import CLIMBS, cells, climbs, is_list, located
from drdd.storage.filesystems import explained, open_filesystem

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
SCRATCH = Path(".drdd/scratch")
BLOCK = 1024**2  # bytes per read of a remote archive
# Local failures not caused by the file: too many open files, an unreachable network folder.
PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT}


@dataclass(frozen=True)
class Blob:
    """The content of a file. name: its path below the source, independent of the store."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Rejected:
    """A rejected file or pair, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class Entry:
    """A file of a source, not yet read; picklable.

    name: its path below the source, "/"-separated (in a list or table: as written there), with bytes
    that are not UTF-8 as "\\xff"; where: the absolute path or s3:// URI of the file, or of the
    archive that holds it as `member`; refusal: the reason not to read it, if not empty.
    """

    name: str
    where: str
    member: Member | None = None
    refusal: str = ""


def entries(source: str, include: str | None = None, column: str = "image") -> list[Entry]:
    """The files of a source whose names match `include` (re.search), in order of name.

    A list or table keeps its own order. Names are unique: a repeated name becomes a refused entry. Refused
    entries are listed regardless of `include`, so that every loss is reported.
    Raises UserError when the source is missing, refused, damaged or without an image file,
    TransientError when its store does not answer.
    """
    found = listed(source, column)
    kept = [e for e in found if include is None or e.refusal or re.search(include, e.name)]
    if not kept:
        examples = ", ".join(entry.name for entry in found[:3])
        raise UserError(
            f"{source}: include = {include!r} matches none of {len(found)} files, such as {examples}"
        )
    return _each_name_once(kept)


def listed(source: str, column: str = "image") -> list[Entry]:
    """`entries`, but with the repetitions of a list or table, since several inputs may share a target."""
    where = _where(source)
    if is_list(where) and not _is_folder(where):
        found = [entry for (entry,) in rows(source, (column,))]
    else:
        found = sorted(_found(where), key=lambda entry: entry.name)
    if not found:
        raise UserError(f"{source} holds no image file ({', '.join(sorted(SUFFIXES))})")
    return found


def rows(source: str, columns: Sequence[str]) -> list[tuple[Entry, ...]]:
    """The files in a list or table, row by row in its order, with repetitions.

    columns: of a table; a .txt has one column, which may have any name. Paths are relative to the folder of
    the list; those of a local list may be absolute or s3:// URIs, those on S3 stay in their bucket.
    Raises UserError and TransientError as `entries` does.
    """
    where = _where(source)
    with Fetcher() as fetcher, explained(where):
        content = fetcher.read(where)
    return [
        tuple(_named(cell, where, n) for cell in row)
        for n, row in enumerate(cells(content, source, columns), 1)
    ]


class Fetcher:
    """Reads entries and opens each store and archive once. Use it in one thread at a time."""

    def __init__(self, scratch: Path = SCRATCH) -> None:
        """scratch: a folder for decompressed archives, which is emptied at the end."""
        self._scratch = scratch
        self._opened = ExitStack()
        self._remote: Any = None
        self._archives: dict[str, Archive] = {}

    def __enter__(self) -> "Fetcher":
        return self

    def __exit__(self, *error: object) -> None:
        self._archives.clear()
        self._opened.close()

    def fetch(self, entry: Entry) -> Blob | Rejected:
        """Read a file. Returns Rejected when it cannot be read.

        Raises UserError when its whole archive cannot be read, TransientError when retrying may help.
        """
        if entry.refusal:
            return Rejected(entry.name, entry.refusal)
        holder = self._archive(entry.where) if entry.member else None
        try:
            with explained(entry.where):
                if holder and entry.member:
                    return Blob(entry.name, holder.read(entry.member))
                return Blob(entry.name, self.read(entry.where))
        except UserError as error:
            reason = str(error)
        except TransientError as error:
            if _is_remote(entry.where) or getattr(error.__cause__, "errno", None) in PASSING:
                raise
            reason = str(error)
        return Rejected(entry.name, printable(reason))

    def read(self, where: str) -> bytes:
        """Read a whole file. Raises the errors of its store, ValueError when it is not a regular file."""
        if not _is_remote(where):
            with self.open(where) as file:
                refuse_if_too_large(os.fstat(file.fileno()).st_size)
                return file.read()
        content: bytes = self._store(where).cat_file(where)
        return content

    def open(self, where: str) -> BinaryIO:
        if not _is_remote(where):
            return open_regular(where)
        file: BinaryIO = self._store(where).open(where, "rb", block_size=BLOCK)
        return file

    def _store(self, where: str) -> Any:
        if self._remote is None:
            self._remote, _ = open_filesystem(where)
        return self._remote

    def _archive(self, where: str) -> Archive:
        if where not in self._archives:
            with explained(where), in_words(where):
                if is_compressed(where):
                    copy = shared_copy(
                        f"{where} {self._state(where)}",
                        lambda copy: self._decompress(where, copy),
                        self._scratch,
                    )
                    self._archives[where] = Tar(self._opened.enter_context(copy))
                else:
                    file = self._opened.enter_context(self.open(where))
                    self._archives[where] = archive(where, file)
        return self._archives[where]

    def _state(self, where: str) -> tuple[int, object]:
        """A value that changes when the file changes."""
        if _is_remote(where):
            info = self._store(where).info(where)
            return info["size"], info.get("ETag")
        state = Path(where).stat()
        return state.st_size, state.st_mtime_ns

    def _decompress(self, where: str, copy: BinaryIO) -> None:
        with self.open(where) as file:
            decompress(file, copy)


def _where(source: str) -> str:
    """The absolute path or the URI, since workers have other current folders."""
    if not _is_remote(source):
        return os.path.abspath(source)  # noqa: PTH100
    if not source.startswith("s3://"):
        raise UserError(f"{source}: a source is {SOURCE}")
    return source.rstrip("/")


def _is_remote(where: str) -> bool:
    return "://" in where


def _is_folder(where: str) -> bool:
    return not _is_remote(where) and Path(where).is_dir()


def _found(where: str) -> list[Entry]:
    if is_archive(where) and not _is_folder(where):
        return _of_archive(where)
    if _is_remote(where):
        return _of_prefix(where)
    return _of_folder(where)


def _of_folder(where: str) -> list[Entry]:
    if Path(where).is_file():
        raise UserError(f"{where}: a file of another kind; a source is {SOURCE}")
    with explained(where):
        return [
            Entry(printable(found.below), join(where, found.below), refusal=found.refusal)
            for found in files_below(where)
            if found.refusal or _counts(found.below)
        ]


def _of_prefix(where: str) -> list[Entry]:
    store, root = open_filesystem(where)
    with explained(where):
        sizes = {str(path): info["size"] for path, info in store.find(root, detail=True).items()}
        if not sizes and not store.exists(root):
            raise UserError(f"{where} does not exist")
    named = ((path[len(root) :].lstrip("/"), path) for path in sizes)
    return [
        Entry(printable(name), f"s3://{path}", refusal=_refusal(name, sizes[path]))
        for name, path in named
        if _counts(name)
    ]


def _refusal(name: str, size: int) -> str:
    """Of an object on S3."""
    try:
        refuse_if_too_large(size)
    except ValueError as error:
        return str(error)
    return CLIMBS if climbs(name) else ""


def _of_archive(where: str) -> list[Entry]:
    with Fetcher() as fetcher, explained(where), in_words(where), fetcher.open(where) as file:
        return [
            Entry(printable(member.name), where, member, member.refusal)
            for member in archive(where, file).members()
            if _counts(member.name)
        ]


def _counts(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES and not is_hidden(name)


def _named(cell: str, where: str, row: int) -> Entry:
    """The entry of a cell in the list at `where`."""
    if not cell:
        return Entry(f"row {row}", where, refusal="the list names no file here")
    name, place, refusal = located(cell, where)
    return Entry(printable(name), place, refusal=refusal)


def _each_name_once(found: Iterable[Entry]) -> list[Entry]:
    times: dict[str, int] = {}
    result = []
    for entry in found:
        times[entry.name] = nth = times.get(entry.name, 0) + 1
        if nth > 1:
            refusal = entry.refusal or f"the source names {entry.name} more than once"
            entry = replace(entry, name=f"{entry.name} ({nth})", refusal=refusal)
        result.append(entry)
    return result
