"""Picture shards: Parquet files (zstd), one row per picture, in row groups small enough for random access.

The same pictures in the same order give the same bytes.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from drdd.files import write_json
from drdd.pictures.pixels import THUMBNAIL, Picture, Pixels
from drdd.storage.versions import LISTING, Shard, listed

SHARD_BYTES = 64 * 1024**2
GROUP_BYTES = 512 * 1024  # a larger picture is a row group of its own
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("name", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("original_width", pa.int32()),
        ("original_height", pa.int32()),
        ("thumbnail", pa.binary(THUMBNAIL * THUMBNAIL * 3)),
        ("mean", pa.list_(pa.float32(), 3)),
        ("mean_square", pa.list_(pa.float32(), 3)),
        ("image", pa.large_binary()),
    ]
)
KNOWN = [name for name in SCHEMA.names if name != "image"]


def table_of(pictures: Sequence[Picture]) -> pa.Table:
    """A table of SCHEMA."""
    columns: dict[str, list[Any]] = {
        "id": [p.id for p in pictures],
        "name": [p.name for p in pictures],
        "width": [p.width for p in pictures],
        "height": [p.height for p in pictures],
        "original_width": [p.original[0] for p in pictures],
        "original_height": [p.original[1] for p in pictures],
        "thumbnail": [p.thumbnail.tobytes() for p in pictures],
        "mean": [p.mean for p in pictures],
        "mean_square": [p.mean_square for p in pictures],
        "image": [p.content for p in pictures],
    }
    return pa.table(columns, schema=SCHEMA)


class ShardWriter:
    """Appends pictures to shards of about SHARD_BYTES in `folder`; see `writing`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shards: list[Shard] = []
        self._writer: pq.ParquetWriter | None = None
        self._group: list[pa.Table] = []  # tables of the next row group
        self._group_bytes = self._bytes = self._rows = 0

    def write(self, table: pa.Table) -> None:
        """Append the pictures of a table of SCHEMA."""
        begin = 0
        for row, size in enumerate(pc.binary_length(table["image"]).to_pylist(), 1):
            self._group_bytes += size
            if self._group_bytes >= GROUP_BYTES:
                self._group.append(table.slice(begin, row - begin))
                self._end_group()
                begin = row
        if begin < len(table):
            self._group.append(table.slice(begin))

    def finish(self) -> list[Shard]:
        """Finish the last shard and write the list of all shards to LISTING."""
        self._end_group()
        self._end_shard()
        write_json(self._folder / LISTING, [asdict(shard) for shard in self._shards])
        return self._shards

    def abandon(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _end_group(self) -> None:
        if not self._group:
            return
        table = pa.concat_tables(self._group)
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(
                self._folder / self._file(),
                SCHEMA,
                compression="zstd",
                compression_level=-5,  # the fastest: pictures are compressed already
                use_dictionary=False,
                write_statistics=False,
            )
        self._writer.write_table(table, row_group_size=len(table))
        self._rows += len(table)
        self._bytes += self._group_bytes
        self._group, self._group_bytes = [], 0
        if self._bytes >= SHARD_BYTES:
            self._end_shard()

    def _end_shard(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        path = self._folder / self._file()
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, "md5").hexdigest()
        self._shards.append(Shard(path.name, self._rows, path.stat().st_size, md5))
        self._writer, self._rows, self._bytes = None, 0, 0

    def _file(self) -> str:
        return f"{len(self._shards):05d}.parquet"


@contextmanager
def writing(folder: Path) -> Iterator[ShardWriter]:
    """A writer to `folder`; its files are finished when the block ends without an error."""
    writer = ShardWriter(folder)
    try:
        yield writer
    except BaseException:
        writer.abandon()
        raise
    writer.finish()


def read_known(folders: Iterable[Path]) -> pa.Table:
    """The metadata of all pictures in the shards: columns KNOWN."""
    files = [folder / shard.file for folder in folders for shard in listed(folder)]
    tables = [pq.read_table(file, columns=KNOWN, memory_map=True) for file in files]
    empty = pa.schema([SCHEMA.field(name) for name in KNOWN]).empty_table()
    return pa.concat_tables([empty, *tables])


def thumbnail_of(content: bytes) -> Pixels:
    """The (16, 16, 3) thumbnail of a picture, from its column's bytes."""
    return np.frombuffer(content, np.uint8).reshape(THUMBNAIL, THUMBNAIL, 3)
