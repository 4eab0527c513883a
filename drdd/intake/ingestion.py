"""Write a stream of decoded files into shards, each picture once, and record what became of each file."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from drdd.data.shards import SCHEMA, ShardWriter, thumbnail_of
from drdd.intake.near_duplicates import NearDuplicates, NearMatch
from drdd.sources.entry import Rejected

Known = Mapping[str, Any]  # of one picture: USED
USED = ["id", "name", "original_width", "original_height", "thumbnail", "reason"]


@dataclass(frozen=True)
class IngestResult:
    """What became of each file: it has an entry either in `ids` or in `rejected`.

    ids: of the accepted pictures, by file name; sizes: their (width, height) before scaling.
    """

    ids: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)


class Deduplicator:
    """Finds pictures that repeat an earlier one. The first file of a picture is kept."""

    def __init__(self, near_duplicates: float) -> None:
        """near_duplicates: the largest difference of near duplicates; 0 rejects identical files only."""
        self._names: dict[str, str] = {}
        self._kept: list[tuple[str, str]] = []
        self._near_duplicates = NearDuplicates(near_duplicates) if near_duplicates else None

    def __call__(self, batch: Sequence[Known]) -> list[str | None]:
        """For each picture the reason to reject it, or None for a new picture."""
        if self._near_duplicates is None:
            return [self._equal(known) for known in batch]
        thumbnails = np.stack([thumbnail_of(known["thumbnail"]) for known in batch])
        return [
            self._near(known, match)
            for known, match in zip(
                batch, self._near_duplicates.match_or_add(thumbnails), strict=True
            )
        ]

    def _equal(self, known: Known) -> str | None:
        first = self._names.setdefault(known["id"], known["name"])
        return None if first == known["name"] else f"the same file as {first}"

    def _near(self, known: Known, match: NearMatch | None) -> str | None:
        if match is None:
            self._kept.append((known["id"], known["name"]))
            return None
        id_, first = self._kept[match.index]
        if id_ == known["id"]:
            return f"the same file as {first}"
        return f"the same picture as {first}, nearly (difference {match.difference:.3f})"


def keep_all(batch: Sequence[Known]) -> list[str | None]:
    """Reject nothing. Used for pairs in place of Deduplicator: each file name keeps its picture."""
    return [None] * len(batch)


def store(
    outcomes: Iterable[pa.Table],
    writer: ShardWriter,
    deduplicate: Callable[[Sequence[Known]], list[str | None]],
    progress: Callable[[int], None] = lambda done: None,
) -> IngestResult:
    """Write each picture once.

    outcomes: tables of schema streaming.OUTCOME; deduplicate: returns a reason to reject each picture, or
    None; progress: called with the number of files done.
    """
    result = IngestResult()
    written: set[str] = set()
    done = 0
    for table in outcomes:
        rows = table.select(USED).to_pylist()
        good = [known for known in rows if known["reason"] is None]
        repeated = iter(deduplicate(good) if good else [])
        keep = []
        for known in rows:
            reason = known["reason"] or next(repeated)
            keep.append(reason is None and known["id"] not in written)
            if reason is None:
                written.add(known["id"])
                result.ids[known["name"]] = known["id"]
                result.sizes[known["name"]] = (known["original_width"], known["original_height"])
            else:
                result.rejected.append(Rejected(known["name"], reason))
        writer.write(table.filter(pa.array(keep, pa.bool_())).select(SCHEMA.names))
        done += len(table)
        progress(done)
    return result
