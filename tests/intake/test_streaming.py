"""Files go through intake in order, with nothing lost, the same in this process and on a cluster."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from drdd.data.shards import table_of
from drdd.errors import TransientError, UserError
from drdd.intake.decoding import Limits, decode_and_verify
from drdd.intake.streaming import BATCH, OUTCOME, decoded_files
from drdd.pictures.files import png
from drdd.sources.archives import Member
from drdd.sources.entry import Blob, Entry
from drdd.sources.listing import entries
from tests.corpora import scene

LIMITS = Limits(min_side=16, max_side=64, max_pixels=10**6)
GOOD = {f"{n:02}.png": png(scene(n, 24 + n % 7, 32)) for n in range(70)}
BAD = {
    "00.jpg": b"",
    "13.jpg": b"words",
    "14.jpg": GOOD["13.png"][:500],
    "40.jpg": png(np.zeros((4, 4, 3), np.uint8)),
    "99.jpg": GOOD["53.png"][:40],
}


@pytest.fixture
def files(tmp_path: Path) -> list[Entry]:
    """More than a batch; bad ones at the ends and side by side, and one that cannot be read."""
    for name, content in {**GOOD, **BAD}.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "41.jpg").symlink_to(tmp_path / "gone")
    found = entries(str(tmp_path)).files
    assert len(found) == len(GOOD) + len(BAD) + 1 > BATCH
    return found


def _all(tables: Iterator[pa.Table]) -> pa.Table:
    return pa.concat_tables(list(tables))


def test_there_is_a_row_for_each_file_in_its_order(files: list[Entry]) -> None:
    table = _all(decoded_files(files, LIMITS))
    assert table.schema == OUTCOME
    assert table["name"].to_pylist() == [entry.name for entry in files]
    reasons = dict(zip(table["name"].to_pylist(), table["reason"].to_pylist(), strict=True))
    bad = {name for name, reason in reasons.items() if reason is not None}
    assert bad == {*BAD, "41.jpg"}
    assert all(reasons[name] for name in bad)


def test_rows_are_what_intake_makes_of_each_file(files: list[Entry]) -> None:
    table = _all(decoded_files(files, LIMITS))
    for row in table.to_pylist():
        if row["reason"] is None:
            blob = Blob(row["name"], GOOD[row["name"]])
            assert {
                **table_of([decode_and_verify(blob, LIMITS)]).to_pylist()[0],
                "reason": None,
            } == row
        else:
            assert {value for name, value in row.items() if name not in ("name", "reason")} == {
                None
            }


@pytest.mark.parametrize("kept", [[], list(GOOD)[:3], list(BAD), ["00.jpg"]])
def test_any_mix_of_good_and_bad_is_a_table(files: list[Entry], kept: list[str]) -> None:
    some = [entry for entry in files if entry.name in kept]
    names = [name for table in decoded_files(some, LIMITS) for name in table["name"].to_pylist()]
    assert sorted(names) == sorted(kept)


def test_files_are_read_only_as_far_as_they_are_asked_for(files: list[Entry]) -> None:
    """A source of any size goes through: what lies ahead has not even been opened."""
    missing = replace(files[0], where="/nowhere.zip", member=Member("a.png", 0, 1))
    tables = decoded_files([*files[:BATCH], missing], LIMITS)
    assert len(next(tables)) == BATCH
    with pytest.raises(UserError, match=r"/nowhere\.zip does not exist"):
        next(tables)


@pytest.fixture
def dead_store(monkeypatch: pytest.MonkeyPatch) -> Entry:
    """A file of a store that does not answer."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return Entry("a.png", "s3://bucket/a.png")


def test_a_store_that_does_not_answer_loses_no_file_unsaid(dead_store: Entry) -> None:
    with pytest.raises(TransientError, match="does not answer"):
        list(decoded_files([dead_store], LIMITS))


@pytest.mark.slow
def test_a_cluster_gives_the_same_table(files: list[Entry]) -> None:
    here, there = (_all(decoded_files(files, LIMITS, by_ray)) for by_ray in (False, True))
    assert there.equals(here)


@pytest.mark.slow
def test_what_a_worker_raises_arrives_as_itself(files: list[Entry], dead_store: Entry) -> None:
    missing = replace(files[0], where="/nowhere.zip", member=Member("a.png", 0, 1))
    with pytest.raises(UserError, match=r"^/nowhere\.zip does not exist"):
        list(decoded_files([*files, missing], LIMITS, by_ray=True))
    with pytest.raises(TransientError, match=r"^s3://bucket/a\.png at .* does not answer"):
        list(decoded_files([*files, dead_store], LIMITS, by_ray=True))
