"""Batches of held-out pairs of one task and one size, and the results of restoring them."""

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
    """A held-out pair and the service's restoration of it; (H, W, 3) uint8, of the target's size.

    reference: what the task's reference makes of `degraded`, None without one;
    small: the input as it was sent, None if it was not enlarged;
    seconds: latency of the request that restored its batch; batch: number of pictures in it.
    """

    task: str
    pair: Pair
    degraded: Pixels
    reference: Pixels | None
    target: Pixels
    restoration: Restoration
    seconds: float
    batch: int
    small: Pixels | None = None


def batches(
    held: Mapping[str, Sequence[Pair]], known: pa.Table, most: int
) -> Iterator[HeldOutBatch]:
    """Yield batches of at most `most` pairs whose inputs have the same padded size.

    The same pairs give the same batches, because rounding depends on the batch and results must be
    reproducible. known: a table as of shards.read_known, with every input.
    """
    sizes = {
        id_: (height, width)
        for id_, height, width in zip(
            *(known[name].to_pylist() for name in ("id", "height", "width")), strict=True
        )
    }

    def bucket(pair: Pair) -> tuple[int, ...]:
        return tuple(-side * pair.scale // BUCKET for side in sizes[pair.input])

    for task, pairs in held.items():
        in_order = sorted(pairs, key=lambda pair: (bucket(pair), pair.image, pair.variant))
        for _, same in groupby(in_order, key=bucket):
            here = list(same)
            for first in range(0, len(here), most):
                yield HeldOutBatch(task, tuple(here[first : first + most]))
