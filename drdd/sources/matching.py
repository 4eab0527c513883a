"""Match degraded and clean images: by stem, by row, by regular expressions, or by a table.

The key of a pair is the common part of both names if it is unique. If several inputs share a target, it
is the path of the input below its source, without suffix if that is unique.
"""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath

from drdd.errors import UserError
from drdd.params import Match, Paired
from drdd.sources.archives import Member
from drdd.sources.entry import Entry, Rejected, rows
from drdd.sources.listing import Listing, listed
from drdd.sources.lists import is_table
from drdd.sources.names import as_seen

EXAMPLES = 3


@dataclass(frozen=True)
class PairEntry:
    """A pair, not yet read. Its key is unique in its corpus."""

    key: str
    input: Entry
    target: Entry


@dataclass(frozen=True)
class Matching:
    """alone: files without a partner, each with the missing side and key, and pictures that are not read.

    counted: a line for the files that are no pictures, if there are any.
    """

    pairs: list[PairEntry]
    alone: list[Rejected]
    counted: list[Rejected]


@dataclass(frozen=True)
class _Side:
    """all: files of the source; files: those of this side; keys: one for each of `files`.

    unread: rows of its pictures that are not read; counted: one for its files that are no pictures.
    """

    name: str
    source: str
    all: list[Entry]
    files: list[Entry]
    keys: list[str]
    unread: list[Rejected]
    counted: list[Rejected]

    def __str__(self) -> str:
        text = f"{self.name}: {len(self.files)} of {len(self.all)} files of {self.source}"
        text += f", such as {_some(entry.name for entry in self.all)}"
        return f"{text}; keys such as {_some(self.keys)}" if self.keys else text


@dataclass(frozen=True)
class _Pair:
    """key: the common part of both names, which several pairs may share."""

    key: str
    input: Entry
    target: Entry


_Pairing = tuple[list[str], list[_Pair]]
"""(errors, pairs)."""


def match(paired: Paired, name: str) -> Matching:
    """The pairs of a paired corpus, in the order of its inputs.

    stem: the keys are the file stems if no two files of a side share one, else the paths below the
    source without suffix. row: the n-th input and the n-th target, by name, or in a list by its own order.
    Regular expressions: the captured groups, joined by "/"; files that match neither are not part of the
    corpus. One table on both sides: its rows. If not aligned, keys are ignored: consistent hashing of names
    assigns a target to each input. So a new input changes no pair, a new target changes only its own pairs,
    and a target may serve several inputs or none.

    name: of the corpus, for error messages. Raises UserError, which lists all errors, when a source
    cannot be listed, a key has two targets, an input occurs twice, a file would be its own partner or no
    pair is found; TransientError when a store does not answer.
    """
    inputs, targets = _sides(paired, name)
    by_row = _is_one_table(paired) or (paired.aligned and paired.match == "row")
    if by_row:
        wrong, found = _by_row(inputs, targets)
    elif paired.aligned:
        wrong, found = _by_key(inputs, targets)
    else:
        wrong, found = _by_hash(inputs, targets)
    wrong += _repeated(inputs) + _alike(inputs, targets) + _their_own(found, allowed=by_row)
    if not found and not wrong:
        wrong = [f"no pair; expected {_expected(paired)}", str(inputs), str(targets)]
    if wrong:
        raise UserError("\n  ".join([f"paired.{name}.match:", *wrong]))
    keys = _unique_keys(found)
    pairs = [PairEntry(key, pair.input, pair.target) for key, pair in zip(keys, found, strict=True)]
    alone = [] if by_row else _alone(inputs, targets, paired.aligned)
    alone += dict.fromkeys(inputs.unread + targets.unread)
    return Matching(pairs, alone, list(dict.fromkeys(inputs.counted + targets.counted)))


def _sides(paired: Paired, name: str) -> tuple[_Side, _Side]:
    """List both sides. Raises UserError, for both at once, when a source cannot be listed."""
    inputs, targets = _listings(paired, name)
    if isinstance(paired.match, Match) and not _is_one_table(paired):
        return (
            _captured("input", paired.input, inputs, paired.match.input),
            _captured("target", paired.target, targets, paired.match.target),
        )
    sides = (inputs.files, dict.fromkeys(targets.files))
    stems = [[_stem(entry) for entry in side] for side in sides]
    key = _stem if all(len(set(side)) == len(side) for side in stems) else _without_suffix
    return _whole("input", paired.input, inputs, key), _whole("target", paired.target, targets, key)


def _whole(name: str, source: str, found: Listing, key: Callable[[Entry], str]) -> _Side:
    files = found.files
    return _Side(name, source, files, files, list(map(key, files)), found.set_aside, found.counted)


def _listings(paired: Paired, name: str) -> tuple[Listing, Listing]:
    if _is_one_table(paired):
        table = rows(paired.input, (paired.columns.input, paired.columns.target))
        return Listing([one for one, _ in table]), Listing([other for _, other in table])
    found: list[Listing] = []
    wrong = []
    for side in ("input", "target"):
        source, column = getattr(paired, side), getattr(paired.columns, side)
        if side == "target" and source == paired.input and found:
            return found[0], found[0]
        try:
            found.append(listed(source, column))
        except UserError as error:
            wrong.append(f"paired.{name}.{side}: {error}")
    if wrong:
        raise UserError("\n".join(wrong))
    return found[0], found[1]


def _captured(name: str, source: str, listing: Listing, pattern: str) -> _Side:
    matches = re.compile(as_seen(pattern)).search
    hits = [(entry, matches(as_seen(entry.name))) for entry in listing.files]
    found = [(entry, "/".join(g or "" for g in hit.groups())) for entry, hit in hits if hit]
    files, keys = [entry for entry, _ in found], [key for _, key in found]
    unread = [entry for entry in listing.unread if matches(as_seen(entry.name))]
    return _Side(name, source, listing.files, files, keys, Listing([], unread).set_aside, [])


def _by_key(inputs: _Side, targets: _Side) -> _Pairing:
    by_key: dict[str, Entry] = {}
    twice: defaultdict[str, set[str]] = defaultdict(set)
    for entry, key in zip(targets.files, targets.keys, strict=True):
        if by_key.setdefault(key, entry) != entry:
            twice[key] |= {by_key[key].name, entry.name}
    several = [f"{key!r} ({', '.join(sorted(names))})" for key, names in twice.items()]
    wrong = [f"keys with more than one target: {_some(several)}"] if several else []
    pairs = [
        _Pair(key, entry, by_key[key])
        for entry, key in zip(inputs.files, inputs.keys, strict=True)
        if key in by_key
    ]
    return wrong, pairs


def _by_row(inputs: _Side, targets: _Side) -> _Pairing:
    wrong = []
    if len(inputs.files) != len(targets.files):
        wrong = [
            f"row: {len(inputs.files)} inputs in {inputs.source}, but {len(targets.files)} targets in "
            f"{targets.source}; the n-th of one belongs to the n-th of the other"
        ]
    return wrong, list(map(_Pair, map(_stem, inputs.files), inputs.files, targets.files))


def _by_hash(inputs: _Side, targets: _Side) -> _Pairing:
    """Consistent hashing: a target serves the inputs on the arc of the ring that ends at it."""
    places = {_place(entry) for entry in inputs.files}
    both = [entry.name for entry in targets.files if _place(entry) in places]
    if both:
        return [f"input and target at once: {_some(both)}; tell the sides apart by match"], []
    ring = sorted((_hash(entry), entry.name, entry) for entry in targets.files)
    hashes = [point for point, _, _ in ring]
    pairs = [
        _Pair(_stem(entry), entry, ring[bisect_left(hashes, _hash(entry)) % len(ring)][2])
        for entry in inputs.files
        if ring
    ]
    return [], pairs


def _repeated(inputs: _Side) -> list[str]:
    names = [name for name, n in Counter(entry.name for entry in inputs.files).items() if n > 1]
    return [f"{inputs.source} names {_some(names)} more than once as input"] if names else []


def _alike(*sides: _Side) -> list[str]:
    """Errors of files of one side that are told apart only by how their accents are stored."""
    wrong = []
    for side in sides:
        names = {entry.name for entry in side.files}
        twice = [name for name, n in Counter(map(as_seen, names)).items() if n > 1]
        if twice:
            wrong.append(
                f"{side.source} has files whose names look alike, with accents composed and decomposed: "
                f"{_some(sorted(twice))}; rename one of the two"
            )
    return wrong


def _their_own(pairs: Sequence[_Pair], allowed: bool) -> list[str]:
    """Errors of images that are their own partner. allowed: for single rows of a table, but not for all."""
    own = [pair.input.name for pair in pairs if _place(pair.input) == _place(pair.target)]
    if not own or (allowed and len(own) < len(pairs)):
        return []
    return [f"its own target would be {_some(own)}; tell the sides apart by match"]


def _alone(inputs: _Side, targets: _Side, aligned: bool) -> list[Rejected]:
    """Files without a partner, and folders of the sources that could not be listed."""
    alone = []
    for side, other in ((inputs, targets), (targets, inputs)):
        partners = set(other.keys)
        for entry, key in zip(side.files, side.keys, strict=True):
            if aligned and key not in partners:
                reason = entry.refusal or f"{side.name} without {other.name}: none has key {key!r}"
                alone.append(Rejected(entry.name, reason))
    known = {entry for side in (inputs, targets) for entry in side.files}
    refused = {entry for side in (inputs, targets) for entry in side.all if entry.refusal}
    return list(dict.fromkeys(alone)) + [
        Rejected(e.name, e.refusal) for e in sorted(refused - known, key=_name)
    ]


def _unique_keys(pairs: Sequence[_Pair]) -> list[str]:
    """The keys; if not unique, the paths of inputs without suffix; if still not unique, with suffix."""
    keys = [pair.key for pair in pairs]
    for kind in (_without_suffix, _name):
        if len(set(keys)) < len(keys):
            keys = [kind(pair.input) for pair in pairs]
    return keys


def _expected(paired: Paired) -> str:
    match paired.match:
        case Match(input=one, target=other):
            return f"what {one!r} captures in an input to equal what {other!r} captures in a target"
        case "stem":
            return "equal file stems, or equal paths without suffix where a side repeats a stem"
    return "files on both sides"


def _is_one_table(paired: Paired) -> bool:
    return paired.input == paired.target and is_table(paired.input)


def _place(entry: Entry) -> tuple[str, Member | None]:
    return entry.where, entry.member


def _name(entry: Entry) -> str:
    return entry.name


def _stem(entry: Entry) -> str:
    return as_seen(PurePosixPath(entry.name).stem)


def _without_suffix(entry: Entry) -> str:
    return as_seen(entry.name.removesuffix(PurePosixPath(entry.name).suffix))


def _hash(entry: Entry) -> str:
    return sha256(entry.name.encode()).hexdigest()


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - EXAMPLES} more" if len(names) > EXAMPLES else ""
    return ", ".join(names[:EXAMPLES]) + more
