"""Plan a batch: the input files, and the outputs in the same folder structure."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os.path import commonpath, normpath
from pathlib import Path, PurePosixPath

from drdd.batch.ledger import FILE
from drdd.errors import UserError
from drdd.sources.archives import is_archive
from drdd.sources.entry import Entry, entries
from drdd.sources.folders import printable
from drdd.sources.lists import is_list
from drdd.sources.overwriting import ignores_case, refuse_outside, refuse_overwriting

CLIMBS = (
    "its name climbs with '..', so its output would be outside the output folder; name it otherwise"
)
ZERO = "its name holds a zero byte; name it otherwise"
WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class PlannedFile:
    """output: the name below the output root, "/"-separated, without ".."."""

    entry: Entry
    output: str

    @property
    def map(self) -> str:
        """The name of its map of uncertainty, below the root of these."""
        return str(PurePosixPath(self.output).with_suffix(".png"))


def plan(
    inputs: Sequence[str], output: str, suffix: str, maps: str | None = None
) -> list[PlannedFile]:
    """List all pictures in `inputs`: files, folders, archives, s3:// prefixes, or patterns of these.

    maps: the root of the maps of uncertainty, if they are written.
    In a pattern, `*` and `?` match within a name, `**` matches any folders. Files below `output` and
    `maps` are left out. An input whose name climbs out of the output, as a list may write it, is refused by
    itself. Raises UserError when there is nothing to restore, two inputs would become the same output, an
    output would replace an input or another output, or a link in the output leads out of it.
    """
    found = _files(inputs) if len(inputs) > 1 else _source(inputs[0])
    root = absolute(output)
    roots = [root, absolute(maps)] if maps else [root]
    files = [
        _planned(entry, suffix)
        for entry in found
        if not any(entry.where.startswith(f"{one}/") for one in roots)
    ]
    if not files:
        below = f": all that are there are below {' or '.join(roots)}" if found else ""
        raise UserError(f"{', '.join(inputs[:3])}: no picture to restore{below}")
    _refuse_doubles(files, "://" not in root and ignores_case(Path(root)))
    wanted = [file for file in files if not file.entry.refusal]
    read = [*inputs, *(file.entry.where for file in files)]
    _refuse_places(root, [*(file.output for file in wanted), FILE], read)
    if maps:
        _refuse_places(absolute(maps), [file.map for file in wanted], read)
        outputs = {f"{root}/{file.output}" for file in wanted}
        if both := sorted(outputs & {f"{absolute(maps)}/{file.map}" for file in wanted}):
            raise UserError(
                f"{both[0]} would be an output and a map of uncertainty; name another folder for the maps"
            )
    return files


def _refuse_places(root: str, names: Sequence[str], read: Sequence[str]) -> None:
    """Where a file is written below a local root, it is no input and no link leads out of the root."""
    if "://" not in root:
        written = [Path(root, name) for name in names]
        refuse_outside(dict.fromkeys(path.parent for path in written), Path(root))
        refuse_overwriting(written, read)


def _planned(entry: Entry, suffix: str) -> PlannedFile:
    path = PurePosixPath(entry.name.lstrip("/"))
    climbs = ".." in path.parts or not path.name
    if refusal := ZERO if "\0" in entry.name else CLIMBS if climbs else "":
        entry = replace(entry, refusal=entry.refusal or refusal)
        return PlannedFile(entry, f"refused{suffix}")
    return PlannedFile(entry, str(path.with_suffix(suffix)))


def _source(source: str) -> list[Entry]:
    """The files of a folder, an archive, a prefix, a pattern or a single file."""
    if WILD.search(source) and not Path(source).exists():
        return _matching(source)
    if is_picture(source):
        return [Entry(printable(Path(source).name), absolute(source))]
    return entries(source)


def _files(inputs: Sequence[str]) -> list[Entry]:
    """Several files, as from a pattern in a shell. Names are relative to their common folder."""
    whole = [absolute(name) for name in inputs]
    missing = [name for name, path in zip(inputs, whole, strict=True) if not Path(path).is_file()]
    if missing:
        raise UserError(
            f"{missing[0]}: no such file; several inputs must be files, or name one folder or pattern"
        )
    above = commonpath([str(Path(path).parent) for path in whole])
    return [Entry(printable(str(Path(path).relative_to(above))), path) for path in whole]


def _matching(pattern: str) -> list[Entry]:
    """The files that match a pattern. Names are relative to the last folder before the first wildcard."""
    fixed = pattern[: WILD.search(pattern).start()].rpartition("/")[0]  # type: ignore[union-attr]
    rest = pattern.removeprefix(fixed).lstrip("/")
    source = fixed or ("/" if pattern.startswith("/") else ".")
    try:
        matches = re.compile(_expression(rest)).fullmatch
    except re.error as error:
        raise UserError(f"{pattern}: no pattern of names ({error}); escape [ as [[]") from None
    found = [entry for entry in entries(source) if matches(entry.name)]
    if not found:
        raise UserError(f"{pattern}: matches no picture below {source}")
    return found


def _expression(pattern: str) -> str:
    """A regular expression for a pattern of names."""
    pieces = re.split(r"(\*\*/|\*|\?|\[[^\]]*\])", pattern)
    meaning = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        meaning.get(piece) or (_class(piece) if n % 2 and piece[0] == "[" else re.escape(piece))
        for n, piece in enumerate(pieces)
        if piece
    )


def _class(piece: str) -> str:
    """[!a] of a pattern is [^a] of an expression."""
    return f"[^{piece[2:]}" if piece.startswith("[!") else piece


def is_picture(source: str) -> bool:
    """Whether it is a local file, but not an archive or a list."""
    local = "://" not in source and Path(source).is_file()
    return local and not is_archive(source) and not is_list(source)


def absolute(name: str) -> str:
    """The absolute path, or the URI; without "..", by which an output could climb out of its folder."""
    return name.rstrip("/") if "://" in name else normpath(Path(name).absolute())


def _refuse_doubles(files: Sequence[PlannedFile], ignoring_case: bool) -> None:
    taken: dict[str, str] = {}
    for file in files:
        if file.entry.refusal:
            continue
        key = file.output
        if ignoring_case:
            key = unicodedata.normalize("NFC", key).casefold()
        other = taken.setdefault(key, file.entry.name)
        if other != file.entry.name:
            raise UserError(
                f"{other} and {file.entry.name} would both become {file.output}; "
                "restore them into folders of their own"
            )
