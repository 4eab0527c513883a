"""prepare: the pairs of one task, nested by share; degraded ones are made, paired ones only chosen."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drdd.data.library import Library, PicturePairs
from drdd.data.pairs import HOLDOUT, TRAIN, Pair, read_pairs, write_pairs
from drdd.errors import UserError
from drdd.params import validate
from drdd.pictures.scaling import enlarged, reduced
from drdd.progress import Reporter
from drdd.stages.paths import CORPORA, MEMBERS, PAIRS, SPLIT
from drdd.stages.prepare import prepare
from drdd.stages.prepared import paired, whereabouts
from drdd.stages.split import split
from drdd.storage.versions import addresses, listed
from tests.corpora import clean_corpus, files_of, paired_corpus, scene
from tests.project import tiny_params

HAZE = [{"kind": "haze"}]
TRAINING, HELD = range(10), range(10, 13)


def _content(**changes: object) -> dict[str, Any]:
    content = tiny_params()
    content["corpora"] = {"nature": {"source": "n", "holdout": [str(n) for n in HELD]}}
    content["paired"] = {"rain": {"input": "i", "target": "t", "holdout": [str(n) for n in HELD]}}
    content["tasks"] = {
        "haze": {"corpora": ["nature"], "degradation": HAZE, "variants": 4, **changes},
        "rain": {"paired": ["rain"], "pairs": changes.get("pairs", 1.0)},
    }
    return content


@pytest.fixture
def corpora(workspace: Path) -> None:
    numbers = [*TRAINING, *HELD]
    clean_corpus("nature", {f"{n}.png": scene(n, 24, 32) for n in numbers})
    paired_corpus("rain", {str(n): (scene(50 + n, 24, 32), scene(90 + n, 24, 32)) for n in numbers})
    split(validate(_content()), Reporter("split"))


def _prepared(task: str, **changes: object) -> list[Pair]:
    prepare(validate(_content(**changes)), Reporter(f"prepare@{task}"), task)
    return read_pairs(PAIRS / task / MEMBERS)


def _card(task: str) -> dict[str, Any]:
    card = json.loads((PAIRS / task / "card.json").read_text())
    assert isinstance(card, dict)
    return card


SHARES = (0.01, 0.05, 0.25, 1.0)


@pytest.mark.parametrize(("task", "expected"), [("haze", (1, 2, 10, 40)), ("rain", (1, 1, 3, 10))])
def test_a_smaller_share_is_inside_a_larger_one(
    corpora: None, task: str, expected: tuple[int, ...]
) -> None:
    subsets = []
    for share in SHARES:
        members = _prepared(task, pairs=share)
        subsets.append({pair for pair in members if pair.split == TRAIN})
        held = [pair for pair in members if pair.split == HOLDOUT]
        assert {pair.name.removesuffix(".png") for pair in held} == {str(n) for n in HELD}
        card = {"task": task, "train_pairs": len(subsets[-1]), "of": expected[-1]}
        assert _card(task) == {**card, "holdout_pairs": len(HELD)}
    assert tuple(len(subset) for subset in subsets) == expected
    assert subsets[0] <= subsets[1] <= subsets[2] <= subsets[3]


@pytest.mark.parametrize("task", ["haze", "rain"])
def test_the_order_of_the_split_decides_nothing(corpora: None, task: str) -> None:
    before = set(_prepared(task, pairs=0.25))
    path = SPLIT / "tasks" / f"{task}.csv"
    write_pairs(path, read_pairs(path)[::-1])
    assert set(_prepared(task, pairs=0.25)) == before


def test_degraded_pairs_are_what_the_degradation_makes(corpora: None) -> None:
    members = _prepared("haze")
    groups = {"haze": members}
    library = Library(whereabouts(groups))
    for pair, (target, input_) in zip(members, PicturePairs(library, members), strict=True):
        number = int(pair.name.removesuffix(".png"))
        assert np.array_equal(target, scene(number, 24, 32))
        assert input_.shape == target.shape
        assert input_.astype(float).std() < target.astype(float).std()  # haze takes contrast
        assert (input_ >= target - 2.0).mean() > 0.9  # and adds light
    variants: dict[str, set[str]] = {}
    for pair in members:
        variants.setdefault(pair.target, set()).add(pair.input)
    assert sorted(map(len, variants.values())) == [1] * len(HELD) + [4] * len(TRAINING)


def test_a_task_with_a_scale_degrades_the_small_picture(corpora: None) -> None:
    """By three: 24 x 30 of 24 x 32 becomes 8 x 10, which is the input where nothing degrades it."""
    plain: dict[str, object] = {"degradation": []}
    for changes in (plain, {}):
        members = _prepared("haze", scale=3, **changes)
        assert {pair.scale for pair in members} == {3}
        each = 4 if changes == {} else 1
        assert len(members) == each * len(TRAINING) + len(HELD)
        library = Library(whereabouts({"haze": members}))
        for pair, (target, input_) in zip(members, PicturePairs(library, members), strict=True):
            clean = scene(int(pair.name.removesuffix(".png")), 24, 32)
            small = library.pixels(pair.input)
            assert small.shape == (8, 10, 3)
            assert np.array_equal(target, clean[:, :30])
            assert np.array_equal(input_, enlarged(small, 3))
            assert np.array_equal(small, reduced(clean, 3)) == (changes != {})


def test_paired_corpora_are_only_chosen(corpora: None) -> None:
    members = _prepared("rain", pairs=0.25)
    assert listed(PAIRS / "rain") == []
    assert set(members) <= set(read_pairs(SPLIT / "tasks/rain.csv"))
    library = Library(whereabouts(paired(["rain"], TRAIN)))
    chosen = [pair for pair in members if pair.split == TRAIN]
    for pair, (target, input_) in zip(chosen, PicturePairs(library, chosen), strict=True):
        assert np.array_equal(target, scene(50 + int(pair.name), 24, 32))
        assert np.array_equal(input_, scene(90 + int(pair.name), 24, 32))


@pytest.mark.parametrize("task", ["haze", "rain"])
def test_held_out_photographs_are_in_no_training_pair(corpora: None, task: str) -> None:
    members = _prepared(task)
    sides = {
        side: {pair.target for pair in members if pair.split == side} for side in (TRAIN, HOLDOUT)
    }
    assert len(sides[HOLDOUT]) == len(HELD)
    assert not sides[TRAIN] & sides[HOLDOUT]


@pytest.mark.parametrize("task", ["haze", "rain"])
def test_the_same_params_give_the_same_bytes(corpora: None, task: str) -> None:
    _prepared(task)
    first = files_of(PAIRS / task)
    _prepared(task)
    assert files_of(PAIRS / task) == first


def test_another_picture_changes_no_old_pair(corpora: None) -> None:
    before = set(_prepared("haze"))
    numbers = [*TRAINING, *HELD, 70]
    clean_corpus("nature", {f"{n}.png": scene(n, 24, 32) for n in numbers})
    split(validate(_content()), Reporter("split"))
    after = set(_prepared("haze"))
    assert {pair.name for pair in after - before} == {"70.png"}
    assert before <= after


def test_a_picture_that_is_in_two_corpora_is_counted_as_it_is_used(workspace: Path) -> None:
    for name in ("nature", "sky"):
        clean_corpus(name, {f"{n}.png": scene(n, 24, 32) for n in [*TRAINING, *HELD]})
    content = _content(corpora=["nature", "sky"], variants=1, pairs=0.25)
    content["corpora"]["sky"] = content["corpora"]["nature"]
    content["paired"] = {}
    del content["tasks"]["rain"]
    split(validate(content), Reporter("split"))
    prepare(validate(content), Reporter("prepare@haze"), "haze")
    members = read_pairs(PAIRS / "haze" / MEMBERS, TRAIN)
    assert _card("haze")["train_pairs"] == len(members)
    inputs = [id_ for one in addresses([PAIRS / "haze"]) for id_ in one.ids]
    assert len(inputs) == len(set(inputs))


def test_a_damaged_corpus_is_said_and_the_earlier_pairs_stay(corpora: None) -> None:
    _prepared("haze")
    before = files_of(PAIRS)
    path = CORPORA / "nature/00000.parquet"
    content = bytearray(path.read_bytes())
    middle = slice(len(content) // 2, len(content) // 2 + 8)
    content[middle] = bytes(255 - byte for byte in content[middle])
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"00000\.parquet, row \d+: .*`dvc checkout`"):
        _prepared("haze", variants=2)
    assert files_of(PAIRS) == before
