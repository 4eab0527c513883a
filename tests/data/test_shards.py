"""Shards give back what was written, each picture by itself; the same pictures are the same bytes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drdd.data import shards
from drdd.data.shards import KNOWN, SCHEMA, read_known, table_of, writing
from drdd.pictures.pixels import Picture
from drdd.storage.versions import LISTING, Shard, listed
from tests.corpora import files_of, picture, scene, write_shards

PICTURES = [picture(scene(seed, 20 + seed, 32), f"{seed}.png") for seed in range(12)]


def _rows(folder: Path) -> list[dict[str, object]]:
    return [
        row for shard in listed(folder) for row in pq.read_table(folder / shard.file).to_pylist()
    ]


def test_pictures_come_back_with_all_that_is_known_of_them(tmp_path: Path) -> None:
    write_shards(tmp_path, PICTURES)
    for row, one in zip(_rows(tmp_path), PICTURES, strict=True):
        assert (row["id"], row["name"], row["image"]) == (one.id, one.name, one.content)
        assert (row["width"], row["height"]) == (one.width, one.height)
        assert (row["original_width"], row["original_height"]) == one.original
        assert row["thumbnail"] == one.thumbnail.tobytes()
        assert row["mean"] == pytest.approx(one.mean)
        assert row["mean_square"] == pytest.approx(one.mean_square)


def test_the_same_pictures_give_the_same_bytes_however_they_arrive(tmp_path: Path) -> None:
    write_shards(tmp_path / "at once", PICTURES)
    with writing(tmp_path / "one by one") as writer:
        for one in PICTURES:
            writer.write(table_of([one]))
    assert files_of(tmp_path / "at once") == files_of(tmp_path / "one by one")


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Of a row group and of a shard, bytes: about two pictures, and about four."""
    group, shard = 2 * len(PICTURES[5].content), 4 * len(PICTURES[5].content)
    monkeypatch.setattr(shards, "GROUP_BYTES", group)
    monkeypatch.setattr(shards, "SHARD_BYTES", shard)
    return group, shard


def _is_full(sizes: Sequence[int], most: int, last: int = 1) -> bool:
    """Whether `most` is reached with the last of the sizes, and not before."""
    return sum(sizes[:-last]) < most <= sum(sizes)


def test_a_full_shard_is_followed_by_another(tmp_path: Path, limits: tuple[int, int]) -> None:
    write_shards(tmp_path, PICTURES)
    found = listed(tmp_path)
    assert [shard.file for shard in found] == [f"{n:05d}.parquet" for n in range(len(found))]
    assert len(found) > 2
    assert [row["id"] for row in _rows(tmp_path)] == [one.id for one in PICTURES]
    sizes = iter([len(one.content) for one in PICTURES])
    for shard in found[:-1]:
        file = pq.ParquetFile(tmp_path / shard.file)
        groups = [
            [next(sizes) for _ in range(file.metadata.row_group(n).num_rows)]
            for n in range(file.num_row_groups)
        ]
        assert all(_is_full(group, limits[0]) for group in groups)
        assert _is_full([size for group in groups for size in group], limits[1], len(groups[-1]))


def test_a_large_picture_is_read_without_its_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "GROUP_BYTES", 1)
    write_shards(tmp_path, PICTURES)
    (shard,) = listed(tmp_path)
    file = pq.ParquetFile(tmp_path / shard.file)
    assert file.num_row_groups == shard.rows == len(PICTURES)
    for n, one in enumerate(PICTURES):
        assert file.read_row_group(n, columns=["image"])["image"].to_pylist() == [one.content]


def test_the_cut_between_shards_follows_the_pictures_alone(
    tmp_path: Path, limits: tuple[int, int]
) -> None:
    for width in (1, 2, 5, 12):
        with writing(tmp_path / str(width)) as writer:
            for first in range(0, len(PICTURES), width):
                writer.write(table_of(PICTURES[first : first + width]))
    written = [files_of(tmp_path / str(width)) for width in (1, 2, 5, 12)]
    assert all(other == written[0] for other in written)


def test_the_listing_is_true(tmp_path: Path, limits: tuple[int, int]) -> None:
    write_shards(tmp_path, PICTURES)
    files = files_of(tmp_path)
    found = listed(tmp_path)
    assert set(files) == {LISTING, *(shard.file for shard in found)}
    for shard in found:
        content = files[shard.file]
        md5 = hashlib.md5(content).hexdigest()
        rows = pq.ParquetFile(pa.BufferReader(content)).metadata.num_rows
        assert shard == Shard(shard.file, rows, len(content), md5)


def test_no_pictures_are_a_folder_that_can_be_read(tmp_path: Path) -> None:
    write_shards(tmp_path, [])
    assert listed(tmp_path) == []
    assert read_known([tmp_path]).num_rows == 0
    assert read_known([]).column_names == KNOWN


def test_what_is_known_is_read_of_all_folders_without_the_pictures(
    tmp_path: Path, limits: tuple[int, int]
) -> None:
    for name, pictures in (("a", PICTURES[:7]), ("b", PICTURES[7:])):
        write_shards(tmp_path / name, pictures)
    known = read_known([tmp_path / "b", tmp_path / "a"])
    assert known.column_names == KNOWN
    assert known["id"].to_pylist() == [one.id for one in PICTURES[7:] + PICTURES[:7]]


def test_a_run_that_fails_lists_nothing(tmp_path: Path) -> None:
    def fail_halfway() -> None:
        with writing(tmp_path) as writer:
            writer.write(table_of(PICTURES[:3]))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert not (tmp_path / LISTING).exists()


def test_a_table_has_the_schema_even_without_rows() -> None:
    nothing: list[Picture] = []
    assert table_of(nothing).schema == table_of(PICTURES).schema == SCHEMA
