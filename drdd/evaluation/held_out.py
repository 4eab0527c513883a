"""The held-out pairs in batches of one task and one size, and what came of each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import pyarrow as pa

from drdd.data.pairs import Pair
from drdd.inference.engine import BUCKET, Restoration
from drdd.pictures.pixels import Pixels


@dataclass(frozen=True)
class HeldOutBatch:
    task: str
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Restored:
    """One held-out pair and what the service made of it; pixels are (H, W, 3) uint8.

    seconds: from the request of its batch, of `batch` pictures, to the answer.
    """

    task: str
    pair: Pair
    degraded: Pixels
    target: Pixels
    restoration: Restoration
    seconds: float
    batch: int


def batches(
    held: Mapping[str, Sequence[Pair]], known: pa.Table, most: int
) -> Iterator[HeldOutBatch]:
    """At most `most` pairs each, whose inputs are restored at one padded size.

    The same pairs give the same batches: float rounding depends on a batch, and results must not vary.
    known: as shards.read_known, of every input.
    """
    sizes = {
        id_: (-height // BUCKET, -width // BUCKET)
        for id_, height, width in zip(
            *(known[name].to_pylist() for name in ("id", "height", "width")), strict=True
        )
    }
    for task, pairs in held.items():
        in_order = sorted(pairs, key=lambda pair: (sizes[pair.input], pair.image, pair.variant))
        for _, same in groupby(in_order, key=lambda pair: sizes[pair.input]):
            here = list(same)
            for first in range(0, len(here), most):
                yield HeldOutBatch(task, tuple(here[first : first + most]))
