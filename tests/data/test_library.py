"""Pictures are read one by one, are what their ids say, and are kept within the bytes allowed."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from drdd.data import shards
from drdd.data.library import Library, PicturePairs, Pictures
from drdd.data.pairs import Pair
from drdd.errors import UserError
from drdd.pictures.scaling import reduced
from drdd.storage.versions import addresses
from tests.corpora import picture, scene, write_shards

SCENES = [scene(seed, 24 + seed, 40) for seed in range(20)]
PICTURES = [picture(pixels, f"{n}.png") for n, pixels in enumerate(SCENES)]
IDS = [one.id for one in PICTURES]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Several shards of several row groups of two or three pictures."""
    monkeypatch.setattr(shards, "GROUP_BYTES", 2 * len(PICTURES[0].content))
    monkeypatch.setattr(shards, "SHARD_BYTES", 5 * len(PICTURES[0].content))
    write_shards(tmp_path / "shards", PICTURES)
    assert len(addresses([tmp_path / "shards"])) > 2
    return tmp_path / "shards"


def test_every_picture_is_found_by_its_id(folder: Path) -> None:
    library = Library(addresses([folder]))
    assert len(library) == len(PICTURES)
    for id_, one, pixels in reversed(list(zip(IDS, PICTURES, SCENES, strict=True))):
        assert id_ in library
        assert library.content(id_) == one.content
        assert np.array_equal(library.pixels(id_), pixels)
        assert np.array_equal(library.pixels(id_), pixels)
        assert not library.pixels(id_).flags.writeable


def test_an_unknown_picture_is_refused(folder: Path) -> None:
    library = Library(addresses([folder], frozenset(IDS[:1])))
    assert IDS[0] in library
    for id_ in ("none", IDS[-1]):
        assert id_ not in library
        with pytest.raises(UserError, match=f"picture {id_} is in none of the shards"):
            library.pixels(id_)


def _places(file: Path) -> list[tuple[int, int]]:
    """Of the pictures of each row group in the file: its first byte, and the one after its last."""
    metadata = pq.ParquetFile(file).metadata
    columns = [
        metadata.row_group(n).column(shards.SCHEMA.names.index("image"))
        for n in range(metadata.num_row_groups)
    ]
    return [(c.data_page_offset, c.data_page_offset + c.total_compressed_size) for c in columns]


def test_a_picture_is_read_without_the_rest_of_its_shard(folder: Path) -> None:
    """All other row groups are made illegible, and it is read nevertheless."""
    address = addresses([folder])[0]
    places = _places(address.path)
    assert len(places) > 1
    content = bytearray(address.path.read_bytes())
    for begin, end in places[1:]:
        content[begin:end] = bytes(end - begin)
    address.path.write_bytes(content)
    library = Library([address])
    rows = pq.ParquetFile(address.path).metadata.row_group(0).num_rows
    for n in range(rows):
        assert library.content(IDS[n]) == PICTURES[n].content
    with pytest.raises(UserError, match=r"00000\.parquet, row \d+: cannot be read"):
        library.content(address.ids[-1])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.99])
def test_a_picture_that_was_tampered_with_is_refused(folder: Path, share: float) -> None:
    """Wherever its bytes were changed; the shard's size is as it was."""
    address = addresses([folder])[0]
    begin, end = _places(address.path)[0]
    place = begin + int(share * (end - begin))
    content = bytearray(address.path.read_bytes())
    content[place : place + 4] = bytes(255 - byte for byte in content[place : place + 4])
    address.path.write_bytes(content)
    refused = _refused(Library([address]), address.ids)
    assert refused
    for n, said in refused.items():
        assert f"{address.path}, row {n}: " in said
        assert "delete the file and run `dvc checkout`" in said


def _refused(library: Library, ids: Sequence[str]) -> dict[int, str]:
    """What was said of each row that is refused; the others are as they were."""
    said = {}
    for n, id_ in enumerate(ids):
        try:
            content = library.content(id_)
        except UserError as error:
            said[n] = str(error)
        else:
            assert content == PICTURES[n].content
    return said


def test_a_shard_whose_end_is_damaged_is_refused(folder: Path) -> None:
    address = addresses([folder])[0]
    content = address.path.read_bytes()
    address.path.write_bytes(content[:-60] + bytes(60))
    with pytest.raises(UserError, match=r"00000\.parquet.*delete the file and run `dvc checkout`"):
        Library([address]).content(IDS[0])


def test_the_least_recently_used_pictures_leave_first(folder: Path) -> None:
    room = SCENES[0].nbytes + SCENES[1].nbytes + SCENES[2].nbytes
    library = Library(addresses([folder]), cache_bytes=room)
    first, second, third = (library.pixels(id_) for id_ in IDS[:3])
    assert library.pixels(IDS[0]) is first
    library.pixels(IDS[3])  # a little larger than the second, which is the oldest now: two leave
    assert library.pixels(IDS[0]) is first
    assert library.pixels(IDS[1]) is not second
    assert library.pixels(IDS[2]) is not third


def _kept(library: Library) -> int:
    """Bytes of the pixels that are given out again, the same objects."""
    before = {id(pixels): pixels for pixels in library._cache.values()}
    return sum(pixels.nbytes for pixels in before.values())


@pytest.mark.parametrize("pictures", [0.5, 1, 3.5, 100])
def test_what_is_kept_stays_within_its_bytes(folder: Path, pictures: float) -> None:
    most = int(pictures * SCENES[-1].nbytes)
    library = Library(addresses([folder]), cache_bytes=most)
    for n in np.random.default_rng(0).integers(0, len(IDS), 100):
        assert np.array_equal(library.pixels(IDS[n]), SCENES[n])
        assert _kept(library) <= most
    if pictures == 100:
        assert _kept(library) == sum(pixels.nbytes for pixels in SCENES)


def test_many_threads_get_the_right_pixels(folder: Path) -> None:
    library = Library(addresses([folder]), cache_bytes=4 * SCENES[0].nbytes)
    wanted = np.random.default_rng(0).integers(0, len(IDS), 600).tolist()
    with ThreadPoolExecutor(16) as pool:
        found = pool.map(lambda n: library.pixels(IDS[n]), wanted)
        assert all(np.array_equal(f, SCENES[n]) for f, n in zip(found, wanted, strict=True))
    assert _kept(library) <= 4 * SCENES[0].nbytes


def test_pictures_and_pairs_are_sequences(folder: Path) -> None:
    library = Library(addresses([folder]))
    pictures = Pictures(library, IDS)
    assert len(pictures) == len(IDS)
    assert np.array_equal(pictures[-1], SCENES[-1])
    assert [one.shape for one in pictures[2:5]] == [one.shape for one in SCENES[2:5]]
    both = [Pair("c", str(n), IDS[n], IDS[-n]) for n in range(1, 4)]
    pairs = PicturePairs(library, both)
    assert len(pairs) == len(list(pairs)) == 3
    target, input_ = pairs[1:][0]
    assert np.array_equal(target, SCENES[2])
    assert np.array_equal(input_, SCENES[-2])


def test_the_sides_of_a_pair_with_a_scale_have_one_size(tmp_path: Path) -> None:
    """Input of blocks: an enlarged pixel lies on the block of the target that it was made of."""
    large = np.zeros((37, 50, 3), np.uint8)
    large[18:, :24] = 255
    small = reduced(large, 4)
    assert small.shape == (9, 12, 3)
    pictures = [picture(large, "large"), picture(small, "small")]
    write_shards(tmp_path, pictures)
    library = Library(addresses([tmp_path]))
    pair = Pair("c", "n", pictures[0].id, pictures[1].id, scale=4)
    for _ in range(2):  # decoded, and from the cache
        target, input_ = library.sides(pair)
        assert np.array_equal(target, large[:36, :48])
        with Image.fromarray(small) as one:
            assert np.array_equal(
                input_, np.asarray(one.resize((48, 36), Image.Resampling.BICUBIC))
            )
    off = np.abs(target.astype(int) - input_).max(axis=2) > 127
    assert not off[:16].any()
    assert not off[20:].any()
    plain = replace(pair, scale=1)
    assert [side.shape for side in library.sides(plain)] == [large.shape, small.shape]


def test_a_folder_written_anew_is_another_library(folder: Path) -> None:
    """Shards are known by content: what was opened before is not mistaken for what is there now."""
    before = Library(addresses([folder]))
    assert np.array_equal(before.pixels(IDS[0]), SCENES[0])
    write_shards(folder, PICTURES[10:])
    after = Library(addresses([folder]))
    assert IDS[0] not in after
    assert np.array_equal(after.pixels(IDS[12]), SCENES[12])
