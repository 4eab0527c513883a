"""split: what is held out is in no task's training, nor in the noise stage's, by whatever way it came."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from drdd.data.pairs import HOLDOUT, TRAIN, Pair, read_pairs, write_pairs
from drdd.errors import UserError
from drdd.params import validate
from drdd.pictures.pixels import pixels_of
from drdd.progress import Reporter, read_status
from drdd.stages.paths import CORPORA, MEMBERS, SPLIT, UNPAIRED, UNPAIRED_HELD_OUT
from drdd.stages.prepared import UNPAIRED_GROUP, unpaired, whereabouts
from drdd.stages.split import split
from drdd.stages.train_noise import train_noise
from tests.corpora import Pixels, clean_corpus, encoded, files_of, paired_corpus, scene
from tests.project import tiny_params

HAZE = [{"kind": "haze"}]


def _recompressed(pixels: Pixels) -> Pixels:
    return pixels_of(encoded(Image.fromarray(pixels), "JPEG", quality=50))


@pytest.fixture
def corpora(workspace: Path) -> None:
    """nature holds out 0 and 1; sky has copies of both; pairs of rain have one as target."""
    clean_corpus("nature", {f"{n}.png": scene(n) for n in range(5)})
    sky = {f"{n}.png": scene(n) for n in range(10, 14)}
    copies = {"copy.png": scene(0), "like.jpg": _recompressed(scene(1))}
    clean_corpus("sky", {**sky, **copies})
    rainy = {str(n): (scene(n), scene(n) // 2) for n in range(20, 24)}
    paired_corpus("rain", {**rainy, "leak": (_recompressed(scene(0)), scene(30))})


def _content(**tasks: dict[str, Any]) -> dict[str, Any]:
    content = tiny_params()
    content["corpora"] = {
        "nature": {"source": "n", "holdout": ["0", "1"]},
        "sky": {"source": "s", "holdout": ["10"]},
    }
    content["paired"] = {"rain": {"input": "i", "target": "t", "holdout": ["20"]}}
    content["train"]["noise"]["corpora"] = ["nature", "sky"]
    content["tasks"] = {
        "haze": {"corpora": ["nature", "sky"], "degradation": HAZE},
        "rain": {"paired": ["rain"]},
        **tasks,
    }
    return content


def _split(content: dict[str, Any] | None = None) -> str:
    """The note of the stage."""
    split(validate(content or _content()), Reporter("split"))
    status = read_status("split")
    assert status is not None
    return status.note


def _task(name: str, side: str) -> set[str]:
    return {pair.image for pair in read_pairs(SPLIT / "tasks" / f"{name}.csv", side)}


def test_what_shows_a_held_out_picture_is_kept_out_of_all_training(corpora: None) -> None:
    _split()
    trained = {f"nature/{n}.png" for n in (2, 3, 4)} | {f"sky/{n}.png" for n in (11, 12, 13)}
    assert {pair.image for pair in read_pairs(UNPAIRED)} == trained
    assert _task("haze", TRAIN) == trained
    assert _task("rain", TRAIN) == {"rain/21", "rain/22", "rain/23"}


def test_nothing_that_is_held_out_is_lost(corpora: None) -> None:
    _split()
    assert _task("haze", HOLDOUT) == {"nature/0.png", "nature/1.png", "sky/10.png"}
    assert _task("rain", HOLDOUT) == {"rain/20"}


def test_the_noise_stage_has_what_its_corpora_hold_out(corpora: None) -> None:
    _split()
    held = unpaired(HOLDOUT)[UNPAIRED_GROUP]
    assert held == read_pairs(UNPAIRED_HELD_OUT)
    assert {pair.image for pair in held} == {"nature/0.png", "nature/1.png", "sky/10.png"}
    assert {pair.split for pair in held} == {HOLDOUT}
    trained = unpaired()[UNPAIRED_GROUP]
    assert {pair.split for pair in trained} == {TRAIN}
    assert not {pair.target for pair in held} & {pair.target for pair in trained}
    content = _content()
    content["train"]["noise"]["corpora"] = ["sky"]
    _split(content)
    assert [pair.image for pair in unpaired(HOLDOUT)[UNPAIRED_GROUP]] == ["sky/10.png"]


def test_nothing_held_out_is_an_empty_table(corpora: None) -> None:
    content = _content()
    content["train"]["noise"]["corpora"] = ["sky"]
    content["corpora"]["sky"]["holdout"] = 0.0
    _split(content)
    assert unpaired(HOLDOUT) == {UNPAIRED_GROUP: []}


def test_both_sides_are_found_with_each_shard_once(corpora: None) -> None:
    _split()
    sides = unpaired(), unpaired(HOLDOUT)
    shards = whereabouts(*sides)
    assert len({one.path for one in shards}) == len(shards) == 2
    ids = {id_ for one in shards for id_ in one.ids}
    assert ids >= {pair.target for side in sides for pair in side[UNPAIRED_GROUP]}


def test_leaks_are_reported(corpora: None) -> None:
    note = _split()
    table = pd.read_csv(SPLIT / "leakage.csv")
    found = {row.training: (row.held_out, row.difference) for row in table.itertuples()}
    assert found.keys() == {"sky/copy.png", "sky/like.jpg", "rain/leak"}
    assert found["sky/copy.png"] == ("nature/0.png", 0)
    assert found["sky/like.jpg"][0] == "nature/1.png"
    assert found["rain/leak"][0] == "nature/0.png"
    assert 0 < float(str(found["sky/like.jpg"][1])) < 0.1
    said, _, first = note.rpartition(", first ")
    assert said == (
        "6 pictures for the noise stage, 4 held out, 3 kept out of training because they show what is "
        "held out (see data/split/leakage.csv)"
    )
    training, _, held_out = first.partition(" like ")
    assert found[training][0] == held_out


def test_the_card_counts_each_corpus(corpora: None) -> None:
    _split()
    assert json.loads((SPLIT / "card.json").read_text()) == {
        "nature": {"train": 3, "holdout": 2, "leaked": 0},
        "sky": {"train": 3, "holdout": 1, "leaked": 2},
        "rain": {"train": 3, "holdout": 1, "leaked": 1},
    }


def test_without_near_duplicates_only_equal_pictures_leak(corpora: None) -> None:
    content = _content()
    content["ingest"]["near_duplicates"] = 0.0
    assert "1 kept out of training" in _split(content)
    assert "sky/like.jpg" in _task("haze", TRAIN)
    assert "sky/copy.png" not in _task("haze", TRAIN)


def test_another_task_changes_nothing_of_what_is_there(corpora: None) -> None:
    _split()
    tasks, noise = files_of(SPLIT), files_of(UNPAIRED.parent)
    _split(_content(dark={"corpora": ["sky"], "degradation": [{"kind": "low_light"}]}))
    after = files_of(SPLIT)
    assert set(after) - set(tasks) == {"tasks/dark.csv"}
    assert tasks.items() <= after.items()
    assert files_of(UNPAIRED.parent) == noise
    assert set(noise) == {UNPAIRED.name, UNPAIRED_HELD_OUT.name}


def test_the_order_of_a_corpus_decides_nothing(corpora: None) -> None:
    content = _content()
    for name in ("nature", "sky"):
        content["corpora"][name]["holdout"] = 0.4
    content["paired"]["rain"]["holdout"] = 0.4
    _split(content)
    before = {name: (_task(name, TRAIN), _task(name, HOLDOUT)) for name in ("haze", "rain")}
    for name in ("nature", "sky", "rain"):
        path = CORPORA / name / MEMBERS
        write_pairs(path, read_pairs(path)[::-1])
    _split(content)
    assert {name: (_task(name, TRAIN), _task(name, HOLDOUT)) for name in before} == before


def test_pairs_that_share_a_target_are_on_one_side(workspace: Path) -> None:
    pairs = {f"{n}_{k}": (scene(n), scene(100 + 10 * n + k)) for n in range(12) for k in range(3)}
    paired_corpus("rain", pairs)
    content = _content()
    content["corpora"] = {}
    content["train"]["noise"] |= {"corpora": None, "data": "pairs", "conditioning": "input"}
    content["paired"]["rain"]["holdout"] = 0.4
    del content["tasks"]["haze"]
    _split(content)
    sides: dict[str, set[str]] = {}
    for pair in read_pairs(SPLIT / "tasks/rain.csv"):
        sides.setdefault(pair.target, set()).add(pair.split)
    assert sorted(map(len, sides.values())) == [1] * 12
    assert read_pairs(UNPAIRED) == []


def test_the_noise_stage_learns_from_the_corpora_it_names(corpora: None) -> None:
    content = _content()
    content["train"]["noise"]["corpora"] = ["sky"]
    _split(content)
    assert {pair.corpus for pair in read_pairs(UNPAIRED)} == {"sky"}
    content["train"]["noise"]["corpora"] = None
    _split(content)
    assert {pair.corpus for pair in read_pairs(UNPAIRED)} == {"nature", "sky"}


def test_all_names_that_are_not_there_are_said_at_once(corpora: None) -> None:
    content = _content()
    content["corpora"]["nature"]["holdout"] = ["0", "moo"]
    content["paired"]["rain"]["holdout"] = ["baa"]
    with pytest.raises(UserError) as error:
        _split(content)
    assert "corpora.nature.holdout: nothing is called moo; there are 0, 1, 2" in str(error.value)
    assert "paired.rain.holdout: nothing is called baa; there are 20, 21" in str(error.value)
    assert not SPLIT.exists()


def test_all_that_would_be_empty_is_said_at_once(corpora: None) -> None:
    _split()
    before = files_of(Path("data"))
    content = _content()
    content["corpora"]["nature"]["holdout"] = content["corpora"]["sky"]["holdout"] = 1.0
    content["paired"]["rain"]["holdout"] = 0.0
    with pytest.raises(UserError) as error:
        _split(content)
    lines = str(error.value).splitlines()
    assert lines[0] == "params.yaml:"
    assert [line.strip().partition(" ")[0] for line in lines[1:]] == ["tasks.haze:", "tasks.rain:"]
    assert "(nature, sky) has a picture to train on" in lines[1]
    assert "(rain) holds a picture out to judge it by" in lines[2]
    assert files_of(Path("data")) == before


def test_a_noise_stage_without_a_picture_is_refused_by_its_own_stage(
    corpora: None, tmp_path: Path
) -> None:
    """split does not know whether the method has a noise stage."""
    content = _content()
    content["train"]["noise"]["corpora"] = ["sky"]
    content["corpora"]["sky"]["holdout"] = 1.0
    _split(content)
    with pytest.raises(
        UserError, match=r"train\.noise\.corpora: none of their pictures trains; lower"
    ):
        train_noise(validate(content), Reporter("train_noise", tmp_path))


def test_what_is_no_longer_in_params_is_no_longer_in_the_split(corpora: None) -> None:
    _split(_content(dark={"corpora": ["sky"], "degradation": [{"kind": "low_light"}]}))
    _split()
    assert {path.stem for path in (SPLIT / "tasks").iterdir()} == {"haze", "rain"}
    assert all(isinstance(pair, Pair) for pair in read_pairs(UNPAIRED))
