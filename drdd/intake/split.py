"""Split pictures into training and held-out ones, by name or content, and find leaks between them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from unicodedata import normalize

from drdd.data.pairs import HOLDOUT, TRAIN, Pair
from drdd.errors import UserError
from drdd.intake.near_duplicates import NearDuplicates
from drdd.pictures.pixels import Pixels


@dataclass(frozen=True)
class Leak:
    """A training picture that duplicates a held-out one; difference: as in near_duplicates, 0 if equal."""

    training: Pair
    held_out: Pair
    difference: float


def hold_out(pairs: Sequence[Pair], holdout: Sequence[str] | float, key: str) -> list[Pair]:
    """Return the pairs with their side of the split set.

    holdout: a list of names or stems, or a fraction. With a fraction the hash of the target's content
    decides: adding pictures moves none of the earlier ones, and pairs of one target stay together.
    key: of params, for the error message. Raises UserError when a listed name does not exist.
    """
    if isinstance(holdout, float | int):
        return [_on_side(pair, int(pair.target[:8], 16) / 16**8 < holdout) for pair in pairs]
    stems = {stem for pair in pairs for stem in _called(pair)}
    held = {normalize("NFC", name) for name in holdout}
    if missing := sorted(held - stems):
        some = ", ".join(sorted(PurePosixPath(pair.name).stem for pair in pairs)[:20])
        raise UserError(f"{key}: nothing is called {', '.join(missing)}; there are {some}")
    return [_on_side(pair, bool(_called(pair) & held)) for pair in pairs]


def _called(pair: Pair) -> set[str]:
    name = normalize("NFC", pair.name)  # accents are stored in two ways that look alike
    return {name, PurePosixPath(name).stem}


def _on_side(pair: Pair, held: bool) -> Pair:
    return replace(pair, split=HOLDOUT if held else TRAIN)


def leaks(
    pairs: Iterable[Pair], thumbnails: Mapping[str, Pixels], near_duplicates: float
) -> list[Leak]:
    """Every training pair whose target equals or nearly equals a held-out target of any corpus.

    thumbnails: (16, 16, 3) of each target; near_duplicates: the largest difference of near duplicates,
    0 to compare ids only.
    """
    every = list(pairs)
    held = list({pair.target: pair for pair in every if pair.split == HOLDOUT}.values())
    by_id = {pair.target: pair for pair in held}
    index = NearDuplicates(near_duplicates)
    for pair in held:
        index.add(thumbnails[pair.target])
    found = []
    for pair in every:
        if pair.split == HOLDOUT:
            continue
        if pair.target in by_id:
            found.append(Leak(pair, by_id[pair.target], 0.0))
        elif near_duplicates and (match := index.nearest(thumbnails[pair.target])):
            found.append(Leak(pair, held[match.index], match.difference))
    return found
