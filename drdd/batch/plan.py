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


def plan(inputs: Sequence[str], output: str, suffix: str) -> list[PlannedFile]:
    """List all pictures in `inputs`: files, folders, archives, s3:// prefixes, or patterns of these.

    In a pattern, `*` and `?` match within a name, `**` matches any folders. Files below `output` are left
    out. An input whose name climbs out of the output, as a list may write it, is refused by itself.
    Raises UserError when there is nothing to restore, two inputs would become the same output, an output
    would replace an input, or a link in the output leads out of it.
    """
    found = _files(inputs) if len(inputs) > 1 else _source(inputs[0])
    root = _absolute(output)
    files = [_planned(entry, suffix) for entry in found if not entry.where.startswith(f"{root}/")]
    if not files:
        raise UserError(f"{', '.join(inputs[:3])}: no picture to restore")
    local = "://" not in output
    _refuse_doubles(files, local and ignores_case(Path(root)))
    if local:
        written = [Path(root, file.output) for file in files if not file.entry.refusal]
        refuse_outside(dict.fromkeys(path.parent for path in written), Path(root))
        written.append(Path(root, FILE))
        refuse_overwriting(written, [*inputs, *(file.entry.where for file in files)])
    return files


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
        return [Entry(printable(Path(source).name), _absolute(source))]
    return entries(source)


def _files(inputs: Sequence[str]) -> list[Entry]:
    """Several files, as from a pattern in a shell. Names are relative to their common folder."""
    whole = [_absolute(name) for name in inputs]
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


def _absolute(name: str) -> str:
    """Without "..", which would make an output's name climb out of the folder of outputs."""
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
