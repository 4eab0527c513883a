"""Matched files become pairs of one size, each once; each that is none has its reason."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drdd.data.pairs import Pair
from drdd.errors import UserError
from drdd.intake.ingestion import IngestResult
from drdd.intake.pairing import both_sides, files_of, pair_up
from drdd.sources.entry import Entry, Rejected
from drdd.sources.matching import PairEntry

SIZE = (64, 48)


def _matched(*pairs: tuple[str, str, str]) -> list[PairEntry]:
    """Of (key, input, target)."""
    return both_sides(
        [
            PairEntry(key, Entry(one, f"/in/{one}"), Entry(other, f"/gt/{other}"))
            for key, one, other in pairs
        ]
    )


def _ingested(matched: Sequence[PairEntry], ids: dict[str, str] | None = None) -> IngestResult:
    """All files taken in, at one size; a file's id is its name unless `ids` says otherwise."""
    names = [entry.name for entry in files_of(matched)]
    return IngestResult({n: (ids or {}).get(n, n) for n in names}, dict.fromkeys(names, SIZE))


def test_pairs_name_the_pictures_of_both_sides() -> None:
    matched = _matched(("1", "1.png", "1.jpg"), ("2", "2.png", "2.jpg"))
    result = _ingested(matched, {"input/1.png": "a", "target/1.jpg": "b"})
    pairs, rejected = pair_up("rain", matched, result, aligned=True)
    assert pairs == [
        Pair("rain", "1", target="b", input="a"),
        Pair("rain", "2", target="target/2.jpg", input="input/2.png"),
    ]
    assert not rejected


def test_a_name_on_both_sides_is_two_files_and_a_shared_target_one() -> None:
    matched = _matched(("a", "a.png", "1.png"), ("1", "1.png", "1.png"))
    assert [entry.name for entry in files_of(matched)] == [
        "input/1.png",
        "input/a.png",
        "target/1.png",
    ]
    assert [entry.where for entry in files_of(matched)] == ["/in/1.png", "/in/a.png", "/gt/1.png"]
    pairs, _ = pair_up("rain", matched, _ingested(matched), aligned=True)
    assert [pair.target for pair in pairs] == ["target/1.png"] * 2


def test_a_pair_goes_with_a_side_that_was_set_aside() -> None:
    matched = _matched(*((n, f"{n}.png", f"{n}.jpg") for n in "1234"))
    result = _ingested(matched)
    for name in ("input/1.png", "target/2.jpg", "input/3.png", "target/3.jpg"):
        del result.ids[name], result.sizes[name]
    pairs, rejected = pair_up("rain", matched, result, aligned=True)
    assert [pair.name for pair in pairs] == ["4"]
    assert rejected == [
        Rejected("pair 1", "input/1.png set aside"),
        Rejected("pair 2", "target/2.jpg set aside"),
        Rejected("pair 3", "input/3.png and target/3.jpg set aside"),
    ]


def test_the_same_pictures_are_one_pair() -> None:
    matched = _matched(*((n, f"{n}.png", f"{n}.jpg") for n in "123"))
    ids = {"input/2.png": "input/1.png", "target/2.jpg": "target/1.jpg"}
    pairs, rejected = pair_up("rain", matched, _ingested(matched, ids), aligned=True)
    assert [pair.name for pair in pairs] == ["1", "3"]
    assert rejected == [Rejected("pair 2", "the same pictures as pair 1")]


def test_one_input_may_have_two_targets_and_one_target_two_inputs() -> None:
    matched = _matched(*((n, f"{n}.png", f"{n}.jpg") for n in "123"))
    ids = {"input/2.png": "input/1.png", "target/3.jpg": "target/1.jpg"}
    pairs, rejected = pair_up("rain", matched, _ingested(matched, ids), aligned=True)
    assert len(pairs) == 3
    assert not rejected


def test_sides_of_different_size_are_all_named() -> None:
    matched = _matched(*((n, f"{n}.png", f"{n}.jpg") for n in "123"))
    result = _ingested(matched)
    result.sizes["input/1.png"], result.sizes["target/3.jpg"] = (48, 64), (1, 2)
    with pytest.raises(UserError) as error:
        pair_up("rain", matched, result, aligned=True)
    assert str(error.value).splitlines() == [
        "paired.rain: 2 of 3 pairs have sides of different size; mend them, set "
        "paired.rain.aligned: false if they show different scenes, or paired.rain.scale if the "
        "targets are that many times larger",
        "  pair 1: input/1.png is 48 x 64 and target/1.jpg is 64 x 48",
        "  pair 3: input/3.png is 64 x 48 and target/3.jpg is 1 x 2",
    ]
    pairs, _ = pair_up("rain", matched, result, aligned=False)
    assert len(pairs) == 3


def test_a_target_is_as_many_times_larger_as_the_scale_says() -> None:
    matched = _matched(*((n, f"{n}.png", f"{n}.jpg") for n in "12"))
    result = _ingested(matched)
    result.sizes.update({"input/1.png": (32, 24), "input/2.png": (32, 24)})
    pairs, rejected = pair_up("small", matched, result, aligned=True, scale=2)
    assert [pair.scale for pair in pairs] == [2, 2]
    assert not rejected
    result.sizes["target/2.jpg"] = (64, 47)
    with pytest.raises(UserError) as error:
        pair_up("small", matched, result, aligned=True, scale=2)
    assert str(error.value).splitlines() == [
        "paired.small: 1 of 2 pairs have targets that are not 2 times as high and wide as their "
        "inputs; mend them, or paired.small.scale",
        "  pair 2: input/2.png is 32 x 24 and target/2.jpg is 64 x 47",
    ]


def test_a_long_list_of_unequal_pairs_is_cut() -> None:
    matched = _matched(*((f"{n:02}", f"{n:02}.png", f"{n:02}.jpg") for n in range(15)))
    result = _ingested(matched)
    result.sizes.update(dict.fromkeys((f"input/{n:02}.png" for n in range(15)), (1, 1)))
    with pytest.raises(UserError) as error:
        pair_up("rain", matched, result, aligned=True)
    lines = str(error.value).splitlines()
    assert "15 of 15 pairs" in lines[0]
    assert len(lines) == 12
    assert lines[-1] == "  and 5 more"


FATES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=10)


@given(FATES)
def test_every_matched_pair_is_one_or_has_a_reason(fates: list[tuple[int, int, bool]]) -> None:
    """fates: which picture each side shows, and whether its input is taken in."""
    matched = _matched(*((f"{n}", f"{n}.png", f"{n}.jpg") for n in range(len(fates))))
    ids = {f"input/{n}.png": f"i{one}" for n, (one, _, _) in enumerate(fates)}
    ids |= {f"target/{n}.jpg": f"t{other}" for n, (_, other, _) in enumerate(fates)}
    result = _ingested(matched, ids)
    for n, (_, _, good) in enumerate(fates):
        if not good:
            del result.ids[f"input/{n}.png"]
    pairs, rejected = pair_up("rain", matched, result, aligned=True)
    names = [f"pair {pair.name}" for pair in pairs] + [one.name for one in rejected]
    assert sorted(names) == sorted(f"pair {pair.key}" for pair in matched)
    expected = {(f"i{one}", f"t{other}") for one, other, good in fates if good}
    assert {(pair.input, pair.target) for pair in pairs} == expected
    assert len(pairs) == len(expected)
