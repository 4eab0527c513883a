"""Shards give back what was written, the same rows as the same bytes; splits follow content."""

from pathlib import Path

import numpy as np
import pytest

from drdd.data.intake import Photograph, fingerprint
from drdd.data.shards import (
    PairRow,
    Row,
    read_corpus,
    read_pairs,
    write_corpus,
    write_pairs,
)
from drdd.data.split import choose_pairs, hold_out
from drdd.errors import UserError


def _photograph(seed: int) -> Photograph:
    shape = (10 + seed % 5, 12, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Photograph(fingerprint(pixels), f"{seed}.png", pixels)


PHOTOGRAPHS = [_photograph(seed) for seed in range(40)]


def test_a_corpus_comes_back_and_its_bytes_are_the_same(tmp_path: Path) -> None:
    rows = [Row("nature", photograph) for photograph in PHOTOGRAPHS[:4]]
    for name in ("a", "b"):
        write_corpus(tmp_path / name, rows)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    for before, after in zip(rows, read_corpus(tmp_path / "a"), strict=True):
        assert (after.corpus, after.photograph.id) == ("nature", before.photograph.id)
        assert np.array_equal(after.photograph.pixels, before.photograph.pixels)


def test_pairs_come_back(tmp_path: Path) -> None:
    target = PHOTOGRAPHS[0]
    degraded = [255 - target.pixels, target.pixels // 2]
    write_pairs(tmp_path / "p", [PairRow(Row("sky", target), degraded)])
    (row,) = read_pairs(tmp_path / "p")
    assert np.array_equal(row.target.photograph.pixels, target.pixels)
    assert all(np.array_equal(a, b) for a, b in zip(row.degraded, degraded, strict=True))


def test_no_rows_are_a_valid_shard(tmp_path: Path) -> None:
    write_corpus(tmp_path / "none", [])
    assert read_corpus(tmp_path / "none") == []


def test_named_photographs_are_held_out_whole() -> None:
    training, held = hold_out(PHOTOGRAPHS, ["3", "17"], "nature")
    assert {p.name for p in held} == {"3.png", "17.png"}
    assert len(training) == 38
    assert not {p.id for p in training} & {p.id for p in held}


def test_a_fraction_never_moves_an_old_photograph() -> None:
    before = {p.id for p in hold_out(PHOTOGRAPHS[:25], 0.3, "nature")[1]}
    after = {p.id for p in hold_out(PHOTOGRAPHS[::-1], 0.3, "nature")[1]}
    old = {p.id for p in PHOTOGRAPHS[:25]}
    assert after & old == before
    assert 0 < len(after) < 25


def test_impossible_splits_are_refused() -> None:
    with pytest.raises(UserError, match=r"corpora\.sky\.holdout: no photograph is called moo;"):
        hold_out(PHOTOGRAPHS, ["moo", "3"], "sky")
    with pytest.raises(UserError, match="none trains"):
        hold_out(PHOTOGRAPHS[:1], ["0"], "sky")


def test_pair_subsets_are_nested_and_independent_of_order() -> None:
    keys = [f"{p.id}/{variant}" for p in PHOTOGRAPHS for variant in range(4)]
    few, some, all_ = (choose_pairs(keys, fraction) for fraction in (0.05, 0.25, 1.0))
    assert (len(few), len(some), len(all_)) == (8, 40, 160)
    assert few < some < all_
    assert choose_pairs(keys[::-1], 0.25) == some
