"""The prepared data of the workspace: what is learned from, what is held out, where its pictures are."""

from collections.abc import Iterable, Mapping, Sequence

from drdd.data.pairs import Pair, read_pairs
from drdd.data.versions import Address, addresses
from drdd.stages.paths import CORPORA, MEMBERS, PAIRS, UNPAIRED

UNPAIRED_GROUP = "clean"
Groups = dict[str, list[Pair]]


def unpaired() -> Groups:
    """The noise stage's pictures, as one group."""
    return {UNPAIRED_GROUP: read_pairs(UNPAIRED)}


def paired(tasks: Iterable[str], split: str) -> Groups:
    """The pairs of each task on one side of the split."""
    return {name: read_pairs(PAIRS / name / MEMBERS, split) for name in sorted(tasks)}


def whereabouts(groups: Mapping[str, Sequence[Pair]]) -> list[Address]:
    """Of every shard that holds a picture of them."""
    every = [pair for pairs in groups.values() for pair in pairs]
    folders = [CORPORA / corpus for corpus in sorted({pair.corpus for pair in every})]
    folders += [PAIRS / name for name in groups if name != UNPAIRED_GROUP]
    wanted = frozenset(id_ for pair in every for id_ in (pair.target, pair.input) if id_)
    return addresses(folders, wanted)
