"""A file of a source, and how it is read: from a folder, a bucket or an archive."""

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from drdd.errors import TransientError, UserError
from drdd.first_bytes import HEAD
from drdd.params.data import SOURCE
from drdd.pictures.opening import EMPTY, refused_at_sight
from drdd.sources.archives import (
    Archive,
    Member,
    Tar,
    archive,
    decompress,
    in_words,
    is_compressed,
    shared_copy,
)
from drdd.sources.bounds import refuse_if_too_large
from drdd.sources.folders import decoded_name, is_utf8, open_regular
from drdd.sources.lists import cells, located
from drdd.sources.names import on_disk, spellings
from drdd.storage.filesystems import explained, open_filesystem

Found = TypeVar("Found")
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


def rows(source: str, columns: Sequence[str]) -> list[tuple[Entry, ...]]:
    """The files in a list or table, row by row in its order, with repetitions.

    columns: of a table; a .txt has one column, which may have any name. Paths are relative to the folder of
    the list; those of a local list may be absolute or s3:// URIs, those on S3 stay in their bucket.
    Raises UserError and TransientError as `entries` does.
    """
    where = where_of(source)
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
        member = entry.member
        if member:
            holder = self._archive(entry.where)
            return self._tried(entry, lambda: Blob(entry.name, holder.read(member)))
        return self._tried(entry, lambda: Blob(entry.name, self.read(entry.where)))

    def look(self, entry: Entry) -> Rejected | None:
        """Why a file will be set aside, as far as it tells without being read; None if it does not.

        A local file tells by its first bytes, an object by being there, a file in an archive by its
        list alone. Raises TransientError as `fetch`.
        """
        if entry.refusal:
            return Rejected(entry.name, entry.refusal)
        if entry.member:
            return None
        found = self._tried(entry, lambda: self._look(entry.where))
        return Rejected(entry.name, found) if isinstance(found, str) and found else found or None

    def _tried(self, entry: Entry, read: Callable[[], Found]) -> Found | Rejected:
        try:
            with explained(entry.where):
                return read()
        except UserError as error:
            reason = str(error)
        except TransientError as error:
            if is_remote(entry.where) or getattr(error.__cause__, "errno", None) in PASSING:
                raise
            reason = str(error)
        if "\\" in entry.where:
            reason += r"; folders are separated by /, and its name has \ "
        elif not is_utf8(entry.where):
            reason += "; the name is no UTF-8, so what lists it may be in Latin-1: save it as UTF-8"
        return Rejected(entry.name, decoded_name(reason.strip()))

    def read(self, where: str) -> bytes:
        """Read a whole file. Raises the errors of its store, ValueError when it is not a regular file."""
        if not is_remote(where):
            with self.open(where) as file:
                refuse_if_too_large(os.fstat(file.fileno()).st_size)
                return file.read()
        content: bytes = self._spelt(where, self._store(where).cat_file)
        return content

    def _look(self, where: str) -> str:
        if is_remote(where):
            return "" if self._spelt(where, self._store(where).info)["size"] else EMPTY
        with self.open(where) as file:
            refuse_if_too_large(os.fstat(file.fileno()).st_size)
            return refused_at_sight(file.read(HEAD))

    def _spelt(self, where: str, read: Callable[[str], Any]) -> Any:
        """Of the object of this name, or else of one that looks the same."""
        for place in (where, *spellings(where)):
            try:
                return read(place)
            except FileNotFoundError as error:
                missing = error
        raise missing

    def open(self, where: str) -> BinaryIO:
        if not is_remote(where):
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
        if is_remote(where):
            info = self._store(where).info(where)
            return info["size"], info.get("ETag")
        state = Path(where).stat()
        return state.st_size, state.st_mtime_ns

    def _decompress(self, where: str, copy: BinaryIO) -> None:
        with self.open(where) as file:
            decompress(file, copy)


def where_of(source: str) -> str:
    """The absolute path or the URI, since workers have other current folders."""
    if not is_remote(source):
        return os.path.abspath(source)  # noqa: PTH100
    if not source.startswith("s3://"):
        raise UserError(f"{source}: a source is {SOURCE}")
    return source.rstrip("/")


def is_remote(where: str) -> bool:
    return "://" in where


def _named(cell: str, where: str, row: int) -> Entry:
    """The entry of a cell in the list at `where`."""
    if not cell:
        return Entry(f"row {row}", where, refusal="the list names no file here")
    name, place, refusal = located(cell, where)
    if not is_remote(place):
        place = on_disk(place)
    return Entry(decoded_name(name), place, refusal=refusal)
