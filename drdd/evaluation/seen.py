"""Which held-out pictures the base learned from: it ships the thumbnails of its own photographs."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from drdd.data.shards import thumbnail_of
from drdd.errors import UserError
from drdd.intake.near_duplicates import NearDuplicates

PICTURES = Path(__file__).parents[1] / "base/pictures.parquet"
NEAR = 0.15  # the largest difference of near duplicates, as in intake/near_duplicates.py


def seen_by_base(
    held_out: Mapping[str, str], known: pa.Table, path: Path = PICTURES
) -> dict[str, str]:
    """The held-out pictures that the base learned from, or nearly: by name, that of the base's own.

    held_out: the pictures' names by id; known: has their rows, as data/shards.py reads them. Raises
    UserError if the base's thumbnails are missing or damaged.
    """
    try:
        rows = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(
            f"the base that ships with drdd is damaged ({path}: {error})", "install drdd again"
        ) from None
    names = {row["id"]: row["name"] for row in rows}
    index = NearDuplicates(NEAR)
    for row in rows:
        index.add(thumbnail_of(row["thumbnail"]))
    found = {}
    for row in known.filter(pc.is_in(known["id"], pa.array(held_out))).to_pylist():
        if row["id"] in names:
            found[held_out[row["id"]]] = names[row["id"]]
        elif match := index.nearest(thumbnail_of(row["thumbnail"])):
            found[held_out[row["id"]]] = rows[match.index]["name"]
    return dict(sorted(found.items()))
