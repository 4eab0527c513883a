"""Tables of pairs come back as they were written, whatever their files are called."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drdd.data.pairs import HOLDOUT, TRAIN, Pair, read_pairs, write_pairs

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
HASHES = st.text("0123456789abcdef", min_size=4, max_size=4)
SIDES = st.sampled_from(["", TRAIN, HOLDOUT])
PAIRS = st.builds(Pair, st.just("c"), NAMES, HASHES, HASHES | st.just(""), SIDES, st.integers(0, 9))


@given(st.lists(PAIRS, max_size=6))
@settings(max_examples=60, deadline=None)
def test_pairs_come_back(tmp_path_factory: pytest.TempPathFactory, pairs: list[Pair]) -> None:
    path = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    write_pairs(path, pairs)
    assert read_pairs(path) == pairs
    for side in (TRAIN, HOLDOUT):
        assert read_pairs(path, side) == [pair for pair in pairs if pair.split == side]
    again = path.with_name("again.csv")
    write_pairs(again, read_pairs(path))
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["NA", "null", "007", "1e5", "a,b", 'a"b', "a\rb", "a\nb", " a "])
def test_no_name_is_taken_for_something_else(tmp_path: Path, name: str) -> None:
    write_pairs(tmp_path / "a", [Pair("nature", name, "0012", "1e10", TRAIN)])
    assert read_pairs(tmp_path / "a") == [Pair("nature", name, "0012", "1e10", TRAIN)]


def test_results_name_a_picture_by_its_corpus_too() -> None:
    assert Pair("nature", "a/b.png", "0").image == "nature/a/b.png"
