"""Plan a batch: the input files, and the outputs in the same folder structure."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os.path import commonpath, normpath
from pathlib import Path, PurePosixPath

from drdd.batch.ledger import FILE
from drdd.batch.masks import folder_of_masks, one_mask, with_masks
from drdd.batch.planned import PlannedFile
from drdd.errors import UserError
from drdd.files import is_file
from drdd.sources.archives import is_archive
from drdd.sources.entry import Entry, Rejected, is_remote
from drdd.sources.folders import decoded_name
from drdd.sources.listing import Listing, entries, exists, is_object
from drdd.sources.lists import is_list
from drdd.sources.names import as_seen, on_disk
from drdd.sources.overwriting import ignores_case, refuse_outside, refuse_overwriting

CLIMBS = (
    "its name climbs with '..', so its output would be outside the output folder; name it otherwise"
)
ZERO = "its name holds a zero byte; name it otherwise"
WILD = re.compile(r"[*?\[]")
# Bytes of a name on a disk, of a whole path, and of a key on S3, less the output's own place.
LONGEST_NAME, LONGEST_PATH = 255, 1000
TOO_LONG = (
    f"its name is longer than {LONGEST_NAME} bytes, or its path than {LONGEST_PATH}; shorten it"
)


@dataclass(frozen=True)
class BatchPlan:
    """counted: a line for the files of the inputs that are no pictures, if there are any."""

    files: list[PlannedFile]
    counted: list[Rejected]


def plan(
    inputs: Sequence[str],
    output: str,
    suffix: str,
    maps: str | None = None,
    mask: str | None = None,
) -> BatchPlan:
    """List all pictures in `inputs`: files, folders, archives, s3:// prefixes, or patterns of these.

    maps: the root of the maps of uncertainty, if they are written; mask: a file that is the mask of all, or
    a folder or prefix of masks with the names of the pictures.
    In a pattern, `*` and `?` match within a name, `**` matches any folders; what exists under a name is
    meant by it, brackets and all. Files below `output` and `maps` are left out. Refused by themselves are
    pictures of kinds that are not read, and inputs whose names climb out of the output or are too long.
    Raises UserError when there is nothing to restore, two inputs would become the same output, an output
    would replace an input or another output, or a link in the output leads out of it.
    """
    found = Listing(_files(inputs)) if len(inputs) > 1 else _source(inputs[0])
    root = absolute(output)
    roots = [root, *(absolute(one) for one in (maps, mask) if one)]
    all_ = sorted([*found.files, *found.unread], key=_name) if found.unread else found.files
    files = [
        _planned(entry, suffix)
        for entry in all_
        if not any(f"{entry.where}/".startswith(f"{one}/") for one in roots)
    ]
    if not files:
        named = ", ".join(inputs[:3])
        if not all_:
            raise UserError(f"{named}: no picture to restore")
        raise UserError(
            f"{named}: no picture to restore: all that are there are below {' or '.join(roots)}, where "
            "outputs, maps and masks are, which are not read",
            "name an output that does not hold the input",
        )
    _refuse_doubles(files, not is_remote(root) and ignores_case(Path(root)))
    if mask:
        masks = one_mask(mask) if is_picture(mask) else folder_of_masks(mask)
        files = with_masks(files, masks)
    wanted = [file for file in files if not file.entry.refusal]
    read = [*inputs, *(one.where for file in files for one in (file.entry, file.mask) if one)]
    _refuse_places(root, [*(file.output for file in wanted), FILE], read)
    if maps:
        _refuse_places(absolute(maps), [file.map for file in wanted], read)
        outputs = {f"{root}/{file.output}" for file in wanted}
        if both := sorted(outputs & {f"{absolute(maps)}/{file.map}" for file in wanted}):
            raise UserError(
                f"{both[0]} would be an output and a map of uncertainty; name another folder for the maps"
            )
    return BatchPlan(files, found.counted)


def _refuse_places(root: str, names: Sequence[str], read: Sequence[str]) -> None:
    """Where a file is written below a local root, it is no input and no link leads out of the root."""
    if "://" not in root:
        written = [Path(root, name) for name in names]
        refuse_outside(dict.fromkeys(path.parent for path in written), Path(root))
        refuse_overwriting(written, read)


def _planned(entry: Entry, suffix: str) -> PlannedFile:
    path = PurePosixPath(entry.name.lstrip("/"))
    climbs = ".." in path.parts or not path.name
    output = "" if climbs else str(path.with_suffix(suffix))
    if refusal := ZERO if "\0" in entry.name else CLIMBS if climbs else _too_long(output):
        entry = replace(entry, refusal=entry.refusal or refusal)
        return PlannedFile(entry, f"refused{suffix}")
    return PlannedFile(entry, output)


def _too_long(output: str) -> str:
    sizes = [len(part.encode()) for part in output.split("/")]
    return TOO_LONG if max(sizes) > LONGEST_NAME or sum(sizes) > LONGEST_PATH else ""


def _source(source: str) -> Listing:
    """The files of a folder, an archive, a prefix, a pattern or a single file."""
    if not is_remote(source):
        source = on_disk(source)
    if is_picture(source):
        return Listing([Entry(decoded_name(PurePosixPath(source).name), absolute(source))])
    if WILD.search(source) and not exists(source):
        return _matching(source)
    return entries(source)


def _files(inputs: Sequence[str]) -> list[Entry]:
    """Several files, as from a pattern in a shell. Names are relative to their common folder."""
    whole = [absolute(on_disk(name)) for name in inputs]
    missing = [name for name, path in zip(inputs, whole, strict=True) if not is_file(path)]
    if missing:
        said = "is no file" if exists(missing[0]) else "no such file"
        raise UserError(
            f"{missing[0]}: {said}; several inputs must be files, or name one folder or pattern"
        )
    above = commonpath([str(Path(path).parent) for path in whole])
    return [Entry(decoded_name(str(Path(path).relative_to(above))), path) for path in whole]


def _matching(pattern: str) -> Listing:
    """The files that match a pattern. Names are relative to the last folder before the first wildcard."""
    source, rest = _divided(pattern)
    try:
        matches = re.compile(_expression(as_seen(rest))).fullmatch
    except re.error as error:
        raise UserError(
            f"{pattern}: does not exist, and is no pattern of names ({error}); escape [ as [[]"
        ) from None
    found = entries(source)
    files, unread = (
        [entry for entry in side if matches(as_seen(entry.name))]
        for side in (found.files, found.unread)
    )
    if not files and not unread:
        raise UserError(f"{pattern}: matches no picture below {source}")
    return Listing(files, unread)


def _divided(pattern: str) -> tuple[str, str]:
    """The folder of a pattern and the rest. A folder that exists is meant by its name, brackets and all."""
    scheme, mark, path = pattern.rpartition("://")
    parts = path.split("/")
    fixed = next(n for n, part in enumerate(parts) if WILD.search(part))
    for n in range(fixed + 1, len(parts)):
        if not WILD.search(parts[n - 1]) or exists(scheme + mark + "/".join(parts[:n])):
            fixed = n
        else:
            break
    folder = "/".join(parts[:fixed])
    if not folder and not scheme:
        folder = "/" if pattern.startswith("/") else "."
    return scheme + mark + folder, "/".join(parts[fixed:]).lstrip("/")


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
    """[!a] of a pattern is [^a] of an expression, in which some more characters have a meaning."""
    inner = re.sub(r"([\\^&|~\[])", r"\\\1", piece[1:-1].removeprefix("!"))
    return f"[^{inner}]" if piece.startswith("[!") else f"[{inner}]"


def is_picture(source: str) -> bool:
    """Whether it is one file, local or on S3, but not an archive or a list."""
    if is_archive(source) or is_list(source):
        return False
    return is_object(source) if is_remote(source) else is_file(on_disk(source))


def absolute(name: str) -> str:
    """The absolute path, or the URI; without "..", by which an output could climb out of its folder."""
    return name.rstrip("/") if is_remote(name) else normpath(Path(name).absolute())


def _name(entry: Entry) -> str:
    return entry.name


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
    for output, name in taken.items():
        for above in PurePosixPath(output).parents:
            if above_of := taken.get(str(above)):
                raise UserError(
                    f"{above_of} would become the file {above}, which {name} needs as a folder; "
                    "restore them into folders of their own"
                )
