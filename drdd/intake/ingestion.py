"""A stream of intake outcomes becomes shards, each picture once, and a ledger of all files."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from drdd.data.shards import SCHEMA, ShardWriter
from drdd.intake.likeness import Like, Likeness
from drdd.pictures.pixels import THUMBNAIL
from drdd.sources.entry import Rejected

Known = Mapping[str, Any]  # of one picture: USED
USED = ["id", "name", "original_width", "original_height", "thumbnail", "reason"]


@dataclass(frozen=True)
class Ledger:
    """Every file is in exactly one of both.

    ids: of the pictures taken in, by file name; sizes: their (width, height) before scaling.
    """

    ids: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)


class Twins:
    """Says of pictures which earlier one they repeat: the first file of a picture counts."""

    def __init__(self, near_duplicates: float) -> None:
        """near_duplicates: the likeness threshold; 0: only files that are equal byte for byte."""
        self._names: dict[str, str] = {}
        self._alike: list[tuple[str, str]] = []
        self._likeness = Likeness(near_duplicates) if near_duplicates else None

    def __call__(self, batch: Sequence[Known]) -> list[str | None]:
        """For each picture the reason to set it aside, None for a new one."""
        if self._likeness is None:
            return [self._equal(known) for known in batch]
        thumbnails = np.stack([thumbnail_of(known["thumbnail"]) for known in batch])
        return [
            self._near(known, like)
            for known, like in zip(batch, self._likeness.sift(thumbnails), strict=True)
        ]

    def _equal(self, known: Known) -> str | None:
        first = self._names.setdefault(known["id"], known["name"])
        return None if first == known["name"] else f"the same file as {first}"

    def _near(self, known: Known, like: Like | None) -> str | None:
        if like is None:
            self._alike.append((known["id"], known["name"]))
            return None
        id_, first = self._alike[like.index]
        if id_ == known["id"]:
            return f"the same file as {first}"
        return f"the same picture as {first}, nearly (difference {like.difference:.3f})"


def each_counts(batch: Sequence[Known]) -> list[str | None]:
    """Instead of Twins, for pairs: equal pictures are written once, and each name keeps its picture."""
    return [None] * len(batch)


def store(
    outcomes: Iterable[pa.Table],
    writer: ShardWriter,
    twins: Callable[[Sequence[Known]], list[str | None]],
    progress: Callable[[int], None] = lambda done: None,
) -> Ledger:
    """Write each picture once. outcomes: as streaming.OUTCOME; progress: called with files done."""
    ledger = Ledger()
    written: set[str] = set()
    done = 0
    for table in outcomes:
        rows = table.select(USED).to_pylist()
        good = [known for known in rows if known["reason"] is None]
        repeated = iter(twins(good) if good else [])
        keep = []
        for known in rows:
            reason = known["reason"] or next(repeated)
            keep.append(reason is None and known["id"] not in written)
            if reason is None:
                written.add(known["id"])
                ledger.ids[known["name"]] = known["id"]
                ledger.sizes[known["name"]] = (known["original_width"], known["original_height"])
            else:
                ledger.rejected.append(Rejected(known["name"], reason))
        writer.write(table.filter(pa.array(keep, pa.bool_())).select(SCHEMA.names))
        done += len(table)
        progress(done)
    return ledger


def thumbnail_of(content: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(16, 16, 3) uint8 from a shard's column."""
    return np.frombuffer(content, np.uint8).reshape(THUMBNAIL, THUMBNAIL, 3)
