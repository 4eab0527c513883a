"""A stream of outcomes becomes shards and a result that holds every file exactly once."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from drdd.data.shards import read_known, table_of, writing
from drdd.intake.ingestion import Deduplicator, IngestResult, keep_all, store
from drdd.intake.streaming import OUTCOME
from drdd.pictures.pixels import Picture, described, pixels_of
from tests.corpora import picture, scene

SCENES = [scene(seed) for seed in range(6)]


def _outcomes(*items: Picture | tuple[str, str]) -> pa.Table:
    """Of pictures, and of (name, reason)."""
    rows = [
        {"name": item[0], "reason": item[1]}
        if isinstance(item, tuple)
        else table_of([item]).to_pylist()[0]
        for item in items
    ]
    return pa.Table.from_pylist(rows, schema=OUTCOME)


def _stored(
    folder: Path,
    deduplicator: Deduplicator | None,
    *tables: pa.Table,
    seen: list[int] | None = None,
) -> tuple[IngestResult, list[str]]:
    """The result, and the ids of the pictures written."""
    progress = seen.append if seen is not None else lambda done: None
    with writing(folder) as writer:
        result = store(tables, writer, deduplicator or keep_all, progress)
    return result, read_known([folder])["id"].to_pylist()


def test_pictures_are_written_in_order_and_reasons_are_kept(tmp_path: Path) -> None:
    a, b = (picture(SCENES[n], f"{n}.png") for n in (0, 1))
    seen: list[int] = []
    tables = [_outcomes(a, ("x.png", "empty file")), _outcomes(("y.png", "no image"), b)]
    result, written = _stored(tmp_path, Deduplicator(0.1), *tables, seen=seen)
    assert written == [a.id, b.id]
    assert result.ids == {"0.png": a.id, "1.png": b.id}
    assert result.sizes == {"0.png": (96, 72), "1.png": (96, 72)}
    reasons = {one.name: one.reason for one in result.rejected}
    assert reasons == {"x.png": "empty file", "y.png": "no image"}
    assert seen == [2, 4]


def _again(one: Picture, name: str) -> Picture:
    return described(name, one.content, Image.fromarray(pixels_of(one.content)))


def _brighter(pixels: np.ndarray, name: str) -> Picture:
    return picture((pixels.astype(int) + 1).clip(0, 255).astype(np.uint8), name)


def test_the_first_file_of_a_picture_counts(tmp_path: Path) -> None:
    a = picture(SCENES[0], "a.png")
    table = _outcomes(a, _again(a, "b.png"), _brighter(SCENES[0], "c.png"), picture(SCENES[1], "d"))
    result, written = _stored(tmp_path, Deduplicator(0.1), table)
    assert list(result.ids) == ["a.png", "d"]
    assert written == list(result.ids.values())
    same, nearly = result.rejected
    assert (same.name, same.reason) == ("b.png", "the same file as a.png")
    assert nearly.name == "c.png"
    assert nearly.reason.startswith("the same picture as a.png, nearly (difference 0.0")


def test_without_a_threshold_only_equal_files_are_duplicates(tmp_path: Path) -> None:
    a = picture(SCENES[0], "a.png")
    table = _outcomes(a, _brighter(SCENES[0], "b.png"), _again(a, "c.png"))
    result, _ = _stored(tmp_path, Deduplicator(0), table)
    assert list(result.ids) == ["a.png", "b.png"]
    assert [one.name for one in result.rejected] == ["c.png"]


def test_for_pairs_each_name_keeps_its_picture_which_is_written_once(tmp_path: Path) -> None:
    a = picture(SCENES[0], "a.png")
    tables = [_outcomes(a, _again(a, "b.png")), _outcomes(_again(a, "c.png"))]
    result, written = _stored(tmp_path, None, *tables)
    assert result.ids == dict.fromkeys(("a.png", "b.png", "c.png"), a.id)
    assert written == [a.id]
    assert not result.rejected


KINDS = st.lists(st.sampled_from([*range(len(SCENES)), "bad"]), max_size=12)


@given(KINDS, st.sampled_from([0.0, 0.1]), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_every_file_is_in_the_ledger_once_however_the_stream_is_cut(
    tmp_path_factory: pytest.TempPathFactory,
    kinds: Sequence[int | str],
    threshold: float,
    size: int,
) -> None:
    items: list[Picture | tuple[str, str]] = [
        (str(n), "no image") if isinstance(kind, str) else picture(SCENES[kind], str(n))
        for n, kind in enumerate(kinds)
    ]
    folder = tmp_path_factory.mktemp("stored")
    tables = [_outcomes(*items[first : first + size]) for first in range(0, len(items), size)]
    result, written = _stored(folder / "a", Deduplicator(threshold), *tables)
    names = [*result.ids, *(one.name for one in result.rejected)]
    assert sorted(names) == sorted(str(n) for n in range(len(items)))
    assert written == list(result.ids.values())
    assert len(written) == len({kind for kind in kinds if kind != "bad"})
    assert _stored(folder / "b", Deduplicator(threshold), _outcomes(*items)) == (result, written)
