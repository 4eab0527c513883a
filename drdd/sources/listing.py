"""List a source: the files in a folder, below an s3:// prefix, in an archive, a list or a table.

Every cell of a list or table is an entry. Of other sources the pictures are, except below names that begin
with a dot and below __MACOSX. Symbolic links to folders are followed, but each folder is listed only once,
so that circular links end.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from posixpath import join
from typing import Any

from drdd.errors import UserError
from drdd.files import exists as is_there
from drdd.files import is_file
from drdd.first_bytes import HEAD
from drdd.params.data import SOURCE
from drdd.sources.archives import archive, in_words, is_archive
from drdd.sources.bounds import refuse_if_too_large
from drdd.sources.entry import Entry, Fetcher, Rejected, is_remote, rows, where_of
from drdd.sources.folders import decoded_name, files_below, is_hidden, open_regular
from drdd.sources.lists import CLIMBS, climbs, is_list
from drdd.sources.names import as_seen
from drdd.sources.suffixes import READ, is_unsure, judged
from drdd.storage.filesystems import explained, open_filesystem

EXAMPLES = 3
ASKED = 16  # objects of S3 at once


@dataclass(frozen=True)
class Listing:
    """The files of a source.

    files: pictures, some refused by their place; unread: pictures of kinds that are not read, refused with
    the reason; others: how many files are no pictures, by their suffix.
    """

    files: list[Entry]
    unread: list[Entry] = field(default_factory=list)
    others: Mapping[str, int] = field(default_factory=dict)

    @property
    def set_aside(self) -> list[Rejected]:
        """A row for each picture that is not read."""
        return [Rejected(entry.name, entry.refusal) for entry in self.unread]

    @property
    def counted(self) -> list[Rejected]:
        """One row for all files that are no pictures, if there are any."""
        count = sum(self.others.values())
        most = sorted(self.others.items(), key=lambda one: (-one[1], one[0]))
        kinds = ", ".join(f"{number} {suffix or 'without one'}" for suffix, number in most)
        name = f"{count} other file{'s' * (count > 1)}"
        return [Rejected(name, f"no picture by the suffix: {kinds}")] if count else []


def entries(source: str, include: str | None = None, column: str = "image") -> Listing:
    """The files of a source whose names match `include` (re.search), in order of name.

    A list or table keeps its own order. Names are unique: a repeated name, or one that looks like another,
    becomes a refused entry. Refused entries are listed regardless of `include`, so that every loss is
    reported; of pictures that are not read, those that it matches.
    Raises UserError when the source is missing, refused, damaged or without a picture that is read,
    TransientError when its store does not answer.
    """
    found = listed(source, column)
    if include is None:
        return replace(found, files=_each_name_once(found.files))
    pattern = as_seen(include)
    kept = [e for e in found.files if e.refusal or re.search(pattern, as_seen(e.name))]
    if not kept:
        examples = ", ".join(entry.name for entry in found.files[:EXAMPLES])
        raise UserError(
            f"{source}: include = {include!r} matches none of {len(found.files)} files, such as {examples}"
        )
    unread = [entry for entry in found.unread if re.search(pattern, as_seen(entry.name))]
    return Listing(_each_name_once(kept), unread)


def listed(source: str, column: str = "image") -> Listing:
    """`entries`, but with the repetitions of a list or table, since several inputs may share a target."""
    where = where_of(source)
    if is_list(where) and not _is_folder(where):
        files = [entry for (entry,) in rows(source, (column,))]
        if not files:
            raise UserError(f"{source} names no file")
        return Listing(files)
    found = _sorted(_found(where))
    if not found.files:
        passed = "; ".join(
            f"{row.name}: {row.reason}" for row in (found.set_aside + found.counted)[:EXAMPLES]
        )
        said = f"holds no image file that is read ({', '.join(sorted(READ))})"
        raise UserError(f"{source} {said}" + (f"; it has {passed}" if passed else ""))
    return found


def refusals(files: Sequence[Entry], look: bool) -> dict[Entry, Rejected]:
    """Of files, those that will be set aside, with the reason, in order.

    By their place alone; or, with `look`, as far as `Fetcher.look` tells. Raises TransientError when a
    store does not answer.
    """
    if not look:
        return {one: Rejected(one.name, one.refusal) for one in files if one.refusal}
    with Fetcher() as fetcher:
        near = {one: fetcher.look(one) for one in files if not is_remote(one.where)}
        far = [one for one in files if is_remote(one.where)]
        if far:
            near[far[0]] = fetcher.look(far[0])  # opens the store
            with ThreadPoolExecutor(ASKED) as pool:
                near |= zip(far[1:], pool.map(fetcher.look, far[1:]), strict=True)
    return {one: found for one in files if (found := near[one])}


def exists(source: str) -> bool:
    """Whether a folder, a file, an object or anything below a prefix has exactly this name."""
    return _kind(source) != "" if is_remote(source) else is_there(source)


def is_object(source: str) -> bool:
    """Whether an s3:// URI names one object."""
    return _kind(source) == "file"


def _kind(uri: str) -> str:
    """file, directory, or "" for what is not on S3."""
    store, path = open_filesystem(where_of(uri))
    with explained(uri):
        try:
            kind: str = store.info(path)["type"] if path else "directory"
        except FileNotFoundError:
            return ""
    return kind


def _is_folder(where: str) -> bool:
    return not is_remote(where) and is_there(where) and Path(where).is_dir()


def _found(where: str) -> Iterator[tuple[Entry, bytes | None]]:
    """All files that are not hidden, with the first bytes of those whose names leave it open what they are.

    None in their place for what is certain to be told, such as a folder that cannot be listed.
    """
    if is_archive(where) and not _is_folder(where):
        return _of_archive(where)
    return _of_prefix(where) if is_remote(where) else _of_folder(where)


def _sorted(found: Iterable[tuple[Entry, bytes | None]]) -> Listing:
    files, unread, others = [], [], Counter[str]()
    for entry, head in found:
        reason = "" if head is None else judged(entry.name, head)
        if reason is None:
            others[PurePosixPath(entry.name).suffix.lower()] += 1
        elif reason and not entry.refusal:
            unread.append(replace(entry, refusal=reason))
        else:
            files.append(entry)
    return Listing(sorted(files, key=_name), sorted(unread, key=_name), others)


def _name(entry: Entry) -> str:
    return entry.name


def _of_folder(where: str) -> Iterator[tuple[Entry, bytes | None]]:
    if is_file(where):
        raise UserError(f"{where}: a file of another kind; a source is {SOURCE}")
    with explained(where):
        for found in files_below(where):
            path = join(where, found.below)
            entry = Entry(decoded_name(found.below), path, refusal=found.refusal)
            head = _head(path) if not found.refusal and is_unsure(found.below) else b""
            yield entry, None if found.refusal else head


def _head(path: str) -> bytes:
    """The first bytes of a local file; none of one that cannot be read."""
    with suppress(OSError, ValueError), open_regular(path) as file:
        return file.read(HEAD)
    return b""


def _of_prefix(where: str) -> Iterator[tuple[Entry, bytes | None]]:
    store, root = open_filesystem(where)
    with explained(where):
        sizes = {str(path): info["size"] for path, info in store.find(root, detail=True).items()}
        if not sizes and not store.exists(root):
            raise UserError(f"{where} does not exist")
        if list(sizes) == [root]:
            raise UserError(f"{where}: a single object; a source is {SOURCE}")
        names = {path: path[len(root) :].lstrip("/") for path in sizes}
        # Some servers list the name of an empty folder itself, with a slash at its end.
        names = {path: name for path, name in names.items() if name and name[-1] != "/"}
        names = {path: name for path, name in names.items() if not is_hidden(name)}
        heads = _heads(store, [path for path, name in names.items() if is_unsure(name)])
    for path, name in names.items():
        refusal = _refusal(name, sizes[path])
        yield Entry(decoded_name(name), f"s3://{path}", refusal=refusal), heads.get(path, b"")


def _heads(store: Any, keys: list[str]) -> dict[str, bytes]:
    """The first bytes of objects, asked for together; none of those that cannot be read."""
    if not keys:
        return {}
    found = store.cat_ranges(keys, [0] * len(keys), [HEAD] * len(keys), on_error="return")
    return {key: head for key, head in zip(keys, found, strict=True) if isinstance(head, bytes)}


def _refusal(name: str, size: int) -> str:
    """Of an object on S3."""
    try:
        refuse_if_too_large(size)
    except ValueError as error:
        return str(error)
    return CLIMBS if climbs(name) else ""


def _of_archive(where: str) -> Iterator[tuple[Entry, bytes | None]]:
    with Fetcher() as fetcher, explained(where), in_words(where), fetcher.open(where) as file:
        for member, head in archive(where, file).members(is_unsure):
            if not is_hidden(member.name):
                yield Entry(decoded_name(member.name), where, member, member.refusal), head


def _each_name_once(found: Iterable[Entry]) -> list[Entry]:
    times: dict[str, int] = {}
    first: dict[str, str] = {}
    result = []
    for entry in found:
        seen = as_seen(entry.name)
        times[seen] = nth = times.get(seen, 0) + 1
        if first.setdefault(seen, entry.name) != entry.name:
            refusal = (
                "its name looks like that of another file here, with its accents stored otherwise"
            )
            entry = replace(entry, refusal=entry.refusal or f"{refusal}; rename one of the two")
        elif nth > 1:
            refusal = entry.refusal or f"the source names {entry.name} more than once"
            entry = replace(entry, name=f"{entry.name} ({nth})", refusal=refusal)
        result.append(entry)
    return result
