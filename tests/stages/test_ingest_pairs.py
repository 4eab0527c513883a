"""ingest_pairs: files of two folders become pairs; each that is none is set aside with its reason."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from drdd.data.library import Library, PicturePairs
from drdd.data.pairs import read_pairs
from drdd.errors import UserError
from drdd.intake.card import CARD, QUARANTINE
from drdd.params import validate
from drdd.pictures.files import png
from drdd.pictures.opening import FORMATS
from drdd.pictures.scaling import enlarged, reduced
from drdd.progress import Reporter
from drdd.stages.ingest_pairs import ingest_pairs
from drdd.stages.paths import CORPORA, MEMBERS
from drdd.storage.versions import addresses
from tests.corpora import Pixels, files_of, scene
from tests.project import tiny_params

FOLDER = CORPORA / "rain"


def _write(name: str, pixels: Pixels) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(pixels))


@pytest.fixture
def source(workspace: Path) -> Path:
    """Pairs a to d, of which d's input is damaged; e has no target, f no input."""
    for n, name in enumerate("abcdf"):
        _write(f"clean/{name}.png", scene(n))
    for name in "abcde":
        _write(f"rainy/{name}.png", scene(50 + ord(name)))
    Path("rainy/d.png").write_bytes(b"words")
    return workspace


def _ingest(**changes: object) -> None:
    content = tiny_params()
    content["paired"] = {"rain": {"input": "rainy", "target": "clean", **changes}}
    ingest_pairs(validate(content), Reporter("ingest_pairs@rain"), "rain")


def test_pairs_come_in_with_both_pictures(source: Path) -> None:
    _ingest()
    members = read_pairs(FOLDER / MEMBERS)
    assert [pair.name for pair in members] == ["a", "b", "c"]
    pictures = PicturePairs(Library(addresses([FOLDER])), members)
    for n, (target, input_) in enumerate(pictures):
        assert np.array_equal(target, scene(n))
        assert np.array_equal(input_, scene(50 + ord("abc"[n])))
    assert json.loads((FOLDER / CARD).read_text())["pairs"] == 3


def test_what_is_no_pair_has_its_reason(source: Path) -> None:
    _ingest()
    table = pd.read_csv(FOLDER / QUARANTINE)
    reasons = dict(zip(table["name"], table["reason"], strict=True))
    assert reasons == {
        "input/d.png": f"no image: none of {', '.join(FORMATS)}",
        "pair d": "input/d.png set aside",
        "e.png": "input without target: none has key 'e'",
        "f.png": "target without input: none has key 'f'",
    }


def test_the_same_files_give_the_same_bytes(source: Path) -> None:
    _ingest()
    first = files_of(FOLDER)
    _ingest()
    assert files_of(FOLDER) == first


def test_sides_of_different_size_are_refused_unless_said_so(source: Path) -> None:
    _ingest()
    first = files_of(CORPORA)
    _write("rainy/b.png", scene(60, 70, 96))
    with pytest.raises(UserError, match=r"input/b\.png is 96 x 70 and target/b\.png is 96 x 72"):
        _ingest()
    assert files_of(CORPORA) == first
    _ingest(aligned=False)
    assert len(read_pairs(FOLDER / MEMBERS)) == 4  # all good inputs, whatever their names


def test_one_target_of_many_inputs_is_written_once(source: Path) -> None:
    for name in ("a_1", "a_2", "a_3"):
        _write(f"many/{name}.png", scene(90 + int(name[2:])))
    _ingest(input="many", match={"input": r"^(\w)_\d", "target": r"^(\w)\."})
    members = read_pairs(FOLDER / MEMBERS)
    assert len(members) == 3
    assert len({pair.target for pair in members}) == 1
    assert len(Library(addresses([FOLDER]))) == 4


def test_without_a_usable_pair_it_is_refused(source: Path) -> None:
    for name in "abc":
        Path(f"clean/{name}.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"paired\.rain: none of 4 pairs is usable \(input/d\.png"):
        _ingest()
    assert not FOLDER.exists()


def test_small_inputs_and_large_targets_come_in_as_they_are(workspace: Path) -> None:
    """Larger than ingest.max_side, and inputs smaller than ingest.min_side."""
    for n in range(2):
        _write(f"clean/{n}.png", scene(n, 72, 200))
        _write(f"rainy/{n}.png", reduced(scene(n, 72, 200), 4))
    _ingest(scale=4)
    members = read_pairs(FOLDER / MEMBERS)
    assert [pair.scale for pair in members] == [4, 4]
    pictures = PicturePairs(Library(addresses([FOLDER])), members)
    for n, (target, input_) in enumerate(pictures):
        assert np.array_equal(target, scene(n, 72, 200))
        assert np.array_equal(input_, enlarged(reduced(target, 4), 4))


def test_a_target_of_another_scale_is_refused_with_both_sizes(workspace: Path) -> None:
    _write("clean/0.png", scene(0, 80, 120))
    _write("rainy/0.png", scene(1, 40, 61))
    with pytest.raises(UserError, match=r"input/0\.png is 61 x 40 and target/0\.png is 120 x 80"):
        _ingest(scale=2)
