"""Which pictures are held out, and what leaks: by name or content, never by order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from drdd.data.pairs import HOLDOUT, TRAIN, Pair
from drdd.errors import UserError
from drdd.intake.likeness import Likeness
from drdd.pictures.pixels import Pixels


@dataclass(frozen=True)
class Leak:
    """A training picture that shows what a held-out one shows; difference: as in likeness, 0 if equal."""

    training: Pair
    held_out: Pair
    difference: float


def hold_out(pairs: Sequence[Pair], holdout: Sequence[str] | float, key: str) -> list[Pair]:
    """The pairs with their side of the split; `holdout` is a list of names or stems, or a fraction.

    With a fraction the side follows the target's own content hash: adding pictures never moves an old
    one, and what shares a target stays together. key: of params, for the error.
    Raises UserError when a name is not there.
    """
    if isinstance(holdout, float | int):
        return [_on_side(pair, int(pair.target[:8], 16) / 16**8 < holdout) for pair in pairs]
    stems = {stem for pair in pairs for stem in _called(pair)}
    if missing := sorted(set(holdout) - stems):
        some = ", ".join(sorted(PurePosixPath(pair.name).stem for pair in pairs)[:20])
        raise UserError(f"{key}: nothing is called {', '.join(missing)}; there are {some}")
    return [_on_side(pair, bool(_called(pair) & set(holdout))) for pair in pairs]


def _called(pair: Pair) -> set[str]:
    return {pair.name, PurePosixPath(pair.name).stem}


def _on_side(pair: Pair, held: bool) -> Pair:
    return replace(pair, split=HOLDOUT if held else TRAIN)


def leaks(
    pairs: Iterable[Pair], thumbnails: Mapping[str, Pixels], near_duplicates: float
) -> list[Leak]:
    """Every training pair whose target is, or nearly is, that of a held-out one of any corpus.

    thumbnails: (16, 16, 3) of each target; near_duplicates: the likeness threshold, 0 for equal ids.
    """
    every = list(pairs)
    held = list({pair.target: pair for pair in every if pair.split == HOLDOUT}.values())
    by_id = {pair.target: pair for pair in held}
    likeness = Likeness(near_duplicates)
    for pair in held:
        likeness.add(thumbnails[pair.target])
    found = []
    for pair in every:
        if pair.split == HOLDOUT:
            continue
        if pair.target in by_id:
            found.append(Leak(pair, by_id[pair.target], 0.0))
        elif near_duplicates and (like := likeness.nearest(thumbnails[pair.target])):
            found.append(Leak(pair, held[like.index], like.difference))
    return found
