"""Parquet shards: one row a photograph, its pixels as lossless PNG, its content hash as id.

`corpus` shards hold clean photographs; `pairs` shards hold a target and its degraded versions.
The same rows give the same bytes.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from drdd.data.intake import Photograph, Pixels
from drdd.data.pictures import png
from drdd.files import atomic_path

TRAIN, HOLDOUT = "train.parquet", "holdout.parquet"

_CORPUS = pa.schema(
    [
        ("id", pa.string()),
        ("name", pa.string()),
        ("corpus", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("image", pa.binary()),
    ]
)
_PAIRS = _CORPUS.append(pa.field("degraded", pa.list_(pa.binary())))


@dataclass(frozen=True)
class Row:
    """A photograph of a corpus; `photograph.pixels` is (H, W, 3) uint8."""

    corpus: str
    photograph: Photograph


@dataclass(frozen=True)
class PairRow:
    """A target and its degraded versions, all of one size."""

    target: Row
    degraded: Sequence[Pixels]


def write_corpus(path: Path, rows: Iterable[Row]) -> None:
    _write(path, _CORPUS, (_columns(row) for row in rows))


def write_pairs(path: Path, rows: Iterable[PairRow]) -> None:
    _write(
        path,
        _PAIRS,
        (_columns(row.target) | {"degraded": [png(p) for p in row.degraded]} for row in rows),
    )


def read_corpus(path: Path) -> list[Row]:
    return [_row(values) for values in pq.read_table(path).to_pylist()]


def read_pairs(path: Path) -> list[PairRow]:
    return [
        PairRow(_row(values), [_pixels(png) for png in values["degraded"]])
        for values in pq.read_table(path).to_pylist()
    ]


def _columns(row: Row) -> dict[str, object]:
    height, width, _ = row.photograph.pixels.shape
    return {
        "id": row.photograph.id,
        "name": row.photograph.name,
        "corpus": row.corpus,
        "width": width,
        "height": height,
        "image": png(row.photograph.pixels),
    }


def _row(values: dict[str, object]) -> Row:
    pixels = _pixels(values["image"])
    return Row(str(values["corpus"]), Photograph(str(values["id"]), str(values["name"]), pixels))


def _write(path: Path, schema: pa.Schema, rows: Iterable[dict[str, object]]) -> None:
    # PNG is compressed already, so the column is stored as it is.
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="none", use_dictionary=False) as writer,
    ):
        for row in rows:
            writer.write_table(pa.Table.from_pylist([row], schema))


def _pixels(png: object) -> Pixels:
    assert isinstance(png, bytes)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
