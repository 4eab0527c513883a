"""The prepared data of the workspace: training and held-out pairs, and the shards of their pictures."""

from collections.abc import Iterable, Mapping, Sequence

from drdd.data.pairs import TRAIN, Pair, read_pairs
from drdd.stages.paths import CORPORA, MEMBERS, PAIRS, UNPAIRED, UNPAIRED_HELD_OUT
from drdd.storage.versions import Address, addresses

UNPAIRED_GROUP = "clean"
Groups = dict[str, list[Pair]]


def unpaired(split: str = TRAIN) -> Groups:
    """The pictures of the noise stage on one side of the split, as one group; may be empty if held out."""
    return {UNPAIRED_GROUP: read_pairs(UNPAIRED if split == TRAIN else UNPAIRED_HELD_OUT)}


def paired(tasks: Iterable[str], split: str) -> Groups:
    """The pairs of each task on one side of the split."""
    return {name: read_pairs(PAIRS / name / MEMBERS, split) for name in sorted(tasks)}


def whereabouts(*sides: Mapping[str, Sequence[Pair]]) -> list[Address]:
    """The address of each shard that holds a picture of these pairs, without repetition."""
    every = [pair for groups in sides for pairs in groups.values() for pair in pairs]
    folders = [CORPORA / corpus for corpus in sorted({pair.corpus for pair in every})]
    names = dict.fromkeys(name for groups in sides for name in groups)
    folders += [PAIRS / name for name in names if name != UNPAIRED_GROUP]
    wanted = frozenset(id_ for pair in every for id_ in (pair.target, pair.input) if id_)
    return addresses(folders, wanted)
