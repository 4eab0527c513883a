"""Turn matched files into pairs of accepted pictures of equal size, each pair once."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from drdd.data.pairs import Pair
from drdd.errors import UserError
from drdd.intake.ingestion import IngestResult
from drdd.sources.entry import Entry, Rejected
from drdd.sources.matching import PairEntry

SHOWN = 10


def both_sides(matched: Sequence[PairEntry]) -> list[PairEntry]:
    """Prefix the file names with "input/" and "target/", because both sides may have the same names."""
    return [
        replace(
            pair,
            input=replace(pair.input, name=f"input/{pair.input.name}"),
            target=replace(pair.target, name=f"target/{pair.target.name}"),
        )
        for pair in matched
    ]


def files_of(matched: Sequence[PairEntry]) -> list[Entry]:
    """Every file once, since several inputs may share a target."""
    files = {e.name: e for pair in matched for e in (pair.input, pair.target)}
    return [files[name] for name in sorted(files)]


def without(
    matched: Sequence[PairEntry], lost: Collection[str]
) -> list[tuple[PairEntry, Rejected]]:
    """The pairs of which a side is lost, by the name of its file, with what is said of them."""
    sides = [
        (pair, [s.name for s in (pair.input, pair.target) if s.name in lost]) for pair in matched
    ]
    return [
        (pair, Rejected(f"pair {pair.key}", f"{' and '.join(names)} set aside"))
        for pair, names in sides
        if names
    ]


def pair_up(
    name: str, matched: Sequence[PairEntry], result: IngestResult, aligned: bool, scale: int = 1
) -> tuple[list[Pair], list[Rejected]]:
    """The pairs of corpus `name`, and the rejected pairs with reasons.

    scale: how many times higher and wider a target is than its input. Raises UserError, which lists them,
    when aligned pairs are otherwise.
    """
    pairs: dict[tuple[str, str], Pair] = {}
    lost = {entry.name for entry in files_of(matched)} - result.ids.keys()
    rejected = [said for _, said in without(matched, lost)]
    unequal: list[str] = []
    for pair in matched:
        sides = (pair.input.name, pair.target.name)
        if any(side not in result.ids for side in sides):
            continue
        input_, target = (result.ids[side] for side in sides)
        first, second = (result.sizes[side] for side in sides)
        if aligned and (first[0] * scale, first[1] * scale) != second:
            said = " and ".join(
                f"{s} is {w} x {h}" for s, (w, h) in zip(sides, (first, second), strict=True)
            )
            unequal.append(f"pair {pair.key}: {said}")
        elif (input_, target) in pairs:
            reason = f"the same pictures as pair {pairs[input_, target].name}"
            rejected.append(Rejected(f"pair {pair.key}", reason))
        else:
            pairs[input_, target] = Pair(name, pair.key, target, input_, scale=scale)
    if unequal:
        more = f"\n  and {len(unequal) - SHOWN} more" if len(unequal) > SHOWN else ""
        raise UserError(
            f"paired.{name}: {len(unequal)} of {len(matched)} pairs {_wrong(name, scale)}\n  "
            + "\n  ".join(unequal[:SHOWN])
            + more
        )
    return list(pairs.values()), rejected


def _wrong(name: str, scale: int) -> str:
    if scale > 1:
        return (
            f"have targets that are not {scale} times as high and wide as their inputs; mend them, or "
            f"paired.{name}.scale"
        )
    return (
        f"have sides of different size; mend them, set paired.{name}.aligned: false if they show different "
        f"scenes, or paired.{name}.scale if the targets are that many times larger"
    )
