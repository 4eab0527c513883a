"""What is held out follows names or content, never order; what leaks is found; subsets are nested."""

from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drdd.data.pairs import HOLDOUT, TRAIN, Pair, choose_pairs
from drdd.errors import UserError
from drdd.intake.split import Leak, hold_out, leaks
from tests.corpora import Pixels, picture, scene

KEY = "corpora.sky.holdout"
FRACTIONS = st.floats(0, 1)
TARGETS = st.lists(st.integers(0, 10**6), max_size=40, unique=True)


def _pair(n: int | str, target: int | str | None = None, corpus: str = "sky") -> Pair:
    content = str(n if target is None else target)
    return Pair(corpus, f"{n}.png", sha256(content.encode()).hexdigest())


def _sides(pairs: Sequence[Pair]) -> dict[str, str]:
    return {pair.name: pair.split for pair in pairs}


@given(TARGETS, TARGETS, FRACTIONS, st.randoms())
def test_adding_pictures_never_moves_an_old_one(
    old: list[int], new: list[int], fraction: float, random: Random
) -> None:
    before = hold_out([_pair(n) for n in old], fraction, KEY)
    more = [_pair(n) for n in {*old, *new}]
    random.shuffle(more)
    after = _sides(hold_out(more, fraction, KEY))
    assert _sides(before).items() <= after.items()


@given(TARGETS, FRACTIONS, FRACTIONS)
def test_a_larger_fraction_holds_out_the_same_and_more(
    targets: list[int], one: float, other: float
) -> None:
    few, many = (
        {
            pair.name
            for pair in hold_out([_pair(n) for n in targets], f, KEY)
            if pair.split == HOLDOUT
        }
        for f in sorted((one, other))
    )
    assert few <= many


def test_about_the_fraction_is_held_out() -> None:
    pairs = [_pair(n) for n in range(2000)]
    for fraction, expected in ((0.0, 0), (0.1, 200), (0.5, 1000), (1.0, 2000)):
        held = [pair for pair in hold_out(pairs, fraction, KEY) if pair.split == HOLDOUT]
        deviation = np.sqrt(2000 * fraction * (1 - fraction))
        assert abs(len(held) - expected) <= 4 * deviation


def test_what_shares_a_target_stays_together() -> None:
    pairs = [_pair(f"{scene_}_{rain}", target=scene_) for scene_ in range(30) for rain in range(5)]
    sides: dict[str, set[str]] = {}
    for pair in hold_out(pairs, 0.4, KEY):
        sides.setdefault(pair.target, set()).add(pair.split)
    assert all(len(found) == 1 for found in sides.values())
    assert {TRAIN} in sides.values()
    assert {HOLDOUT} in sides.values()


def test_names_and_stems_are_held_out_and_no_more() -> None:
    pairs = [Pair("sky", name, name) for name in ("a.png", "b.png", "sub/c.jpg", "key", "ab.png")]
    held = _sides(hold_out(pairs, ["a", "b.png", "c", "key"], KEY))
    assert [name for name, side in held.items() if side == TRAIN] == ["ab.png"]


def test_all_names_that_are_not_there_are_said_at_once() -> None:
    with pytest.raises(UserError) as error:
        hold_out([_pair(n) for n in range(3)], ["moo", "1", "baa"], KEY)
    assert str(error.value) == f"{KEY}: nothing is called baa, moo; there are 0, 1, 2"


BRIGHTER = (scene(0).astype(int) + 2).clip(0, 255).astype(np.uint8)
IMAGES = {"a": scene(0), "a again": scene(0), "a nearly": BRIGHTER, "b": scene(1), "c": scene(2)}


def _of(name: str, side: str, corpus: str = "sky") -> Pair:
    return Pair(corpus, name, picture(IMAGES[name]).id, split=side)


THUMBNAILS: dict[str, Pixels] = {
    one.id: one.thumbnail for one in (picture(pixels) for pixels in IMAGES.values())
}


def test_a_training_picture_that_shows_a_held_out_one_leaks() -> None:
    held = _of("a", HOLDOUT)
    training = [_of(name, TRAIN, "other") for name in ("a again", "a nearly", "b")]
    equal, near = leaks([*training, held, _of("c", HOLDOUT)], THUMBNAILS, 0.1)
    assert equal == Leak(training[0], held, 0.0)
    assert (near.training, near.held_out) == (training[1], held)
    assert 0 < near.difference <= 0.1


def test_without_a_threshold_only_equal_pictures_leak() -> None:
    pairs = [_of("a", HOLDOUT), _of("a again", TRAIN), _of("a nearly", TRAIN)]
    assert [leak.training.name for leak in leaks(pairs, THUMBNAILS, 0)] == ["a again"]


def test_pictures_of_one_side_are_no_leak() -> None:
    for side in (TRAIN, HOLDOUT):
        assert leaks([_of(name, side) for name in IMAGES], THUMBNAILS, 0.1) == []


@given(st.sets(st.text("0123456789abcdef/", max_size=5), min_size=1, max_size=40), st.randoms())
def test_subsets_are_nested_and_independent_of_order(keys: set[str], random: Random) -> None:
    ordered = sorted(keys)
    subsets = [choose_pairs(ordered, fraction) for fraction in (0.01, 0.05, 0.25, 0.5, 1.0)]
    assert all(few <= many for few, many in pairwise(subsets))
    assert subsets[-1] == keys
    sizes = [len(subset) for subset in subsets]
    assert sizes == [int(np.ceil(f * len(keys))) for f in (0.01, 0.05, 0.25, 0.5, 1.0)]
    random.shuffle(ordered)
    assert choose_pairs(ordered, 0.25) == subsets[2]
