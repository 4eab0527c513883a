"""Which held-out pictures the base learned from: it ships the thumbnails of its own photographs."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from drdd import base
from drdd.intake.near_duplicates import NearDuplicates
from drdd.pictures.pixels import THUMBNAIL, Pixels

PICTURES = Path(base.__file__).with_name("pictures.parquet")


def seen_by_base(
    thumbnails: Mapping[str, Pixels], near_duplicates: float, path: Path = PICTURES
) -> dict[str, str]:
    """The pictures that the base learned from, or nearly: by id, the name of the base's own picture.

    thumbnails: (16, 16, 3) uint8, by id; near_duplicates: the largest difference of near duplicates, 0 to
    compare ids only. Empty where there is no base.
    """
    if not path.exists():
        return {}
    rows = pq.read_table(path).to_pylist()
    names = {row["id"]: row["name"] for row in rows}
    index = NearDuplicates(near_duplicates)
    for row in rows:
        index.add(np.frombuffer(row["thumbnail"], np.uint8).reshape(THUMBNAIL, THUMBNAIL, 3))
    found = {}
    for id_, thumbnail in thumbnails.items():
        if id_ in names:
            found[id_] = names[id_]
        elif near_duplicates and (match := index.nearest(thumbnail)):
            found[id_] = rows[match.index]["name"]
    return found
