"""A stream of intake outcomes becomes shards, each picture once, and a ledger of all files."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from drdd.data.intake import THUMBNAIL
from drdd.data.likeness import Likeness
from drdd.data.shards import SCHEMA, ShardWriter

Known = Mapping[str, Any]  # of one picture: as SCHEMA, without the picture itself


@dataclass(frozen=True)
class Rejected:
    """A file that was set aside, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Ledger:
    """Every file is in exactly one of both.

    ids: of the pictures taken in, by file name; sizes: their (width, height) before scaling.
    """

    ids: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)


class Twins:
    """Says of a picture which earlier one it repeats: the first file of a picture counts."""

    def __init__(self, near_duplicates: float) -> None:
        """near_duplicates: the likeness threshold; 0: only files that are equal byte for byte."""
        self._names: dict[str, str] = {}
        self._alike: list[str] = []
        self._likeness = Likeness(near_duplicates) if near_duplicates else None

    def __call__(self, known: Known) -> str | None:
        """The reason to set it aside, None for a new picture."""
        name, id_ = known["name"], known["id"]
        if id_ in self._names:
            return f"the same file as {self._names[id_]}"
        if self._likeness is not None:
            thumbnail = thumbnail_of(known["thumbnail"])
            if like := self._likeness.nearest(thumbnail):
                first = self._alike[like.index]
                return f"the same picture as {first}, nearly (difference {like.difference:.3f})"
            self._likeness.add(thumbnail)
            self._alike.append(name)
        self._names[id_] = name
        return None


def each_counts(known: Known) -> None:
    """Instead of Twins, for pairs: equal pictures are written once, and each name keeps its picture."""


def store(
    outcomes: Iterable[pa.Table],
    writer: ShardWriter,
    twin: Callable[[Known], str | None],
    progress: Callable[[int], None] = lambda done: None,
) -> Ledger:
    """Write each picture once. outcomes: as streaming.OUTCOME; progress: called with files done."""
    ledger = Ledger()
    written: set[str] = set()
    done = 0
    for table in outcomes:
        keep = []
        for known in table.drop_columns("image").to_pylist():
            reason = known["reason"] or twin(known)
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
