"""synthetic: pictures are drawn, and are a corpus like any other."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from drdd.cli.main import app
from drdd.cli.preview import examples
from drdd.data.library import Library
from drdd.data.pairs import HOLDOUT, TRAIN, read_pairs
from drdd.errors import UserError
from drdd.intake.card import CARD, PAGE
from drdd.params import data, validate
from drdd.pictures.pixels import pixels_of
from drdd.progress import Reporter, read_status
from drdd.stages.check import check
from drdd.stages.ingest import ingest
from drdd.stages.paths import CORPORA, MEMBERS, SYNTHETIC, UNPAIRED, UNPAIRED_HELD_OUT
from drdd.stages.photographs import photographs
from drdd.stages.split import split
from drdd.stages.synthetic import synthetic
from drdd.storage.versions import addresses
from drdd.synthetic.dead_leaves import dead_leaves
from tests.corpora import files_of
from tests.project import tiny_params, write_params

LEAVES = {"kind": "dead_leaves", "count": 12, "width": 80, "height": 70}


def _content(**changed: Any) -> dict[str, Any]:
    content = tiny_params()
    content["synthetic"] = {"leaves": {**LEAVES, **changed}}
    content["corpora"]["leaves"] = {"source": "data/synthetic/leaves", "holdout": ["000003"]}
    content["train"]["noise"]["corpora"] = ["leaves"]
    return content


def _drawn(**changed: Any) -> dict[str, bytes]:
    synthetic(validate(_content(**changed)), Reporter("synthetic@leaves"), "leaves")
    return files_of(SYNTHETIC / "leaves")


def test_the_schema_and_the_stage_name_one_folder() -> None:
    assert Path(data.SYNTHETIC) == SYNTHETIC


def test_pictures_are_those_of_the_series_and_a_larger_count_adds_some(workspace: Path) -> None:
    first = _drawn()
    assert sorted(first) == [f"{n:06}.png" for n in range(12)]
    assert np.array_equal(pixels_of(first["000004.png"]), dead_leaves(0, 4, 70, 80))
    more = _drawn(count=14)
    assert len(more) == 14
    assert more.items() > first.items()
    assert _drawn() == first
    assert not _drawn(seed=1).items() & first.items()
    status = read_status("synthetic@leaves")
    assert status is not None
    assert status.note == "12 pictures drawn"


def test_a_drawn_corpus_is_taken_in_and_split_like_any_other(workspace: Path) -> None:
    params = validate(_content())
    check(params, Reporter("check"))
    photographs(params, Reporter("photographs"))
    drawn = _drawn()
    for name in params.corpora:
        ingest(params, Reporter(f"ingest@{name}"), name)
    split(params, Reporter("split"))
    training, held_out = read_pairs(UNPAIRED), read_pairs(UNPAIRED_HELD_OUT)
    assert [pair.name for pair in held_out] == ["000003.png"]
    assert {pair.name for pair in [*training, *held_out]} == drawn.keys()
    assert {pair.split for pair in training} == {TRAIN}
    assert {pair.split for pair in held_out} == {HOLDOUT}
    library = Library(addresses([CORPORA / "leaves"]))
    assert library.content(training[0].target) == drawn[training[0].name]  # kept as drawn
    assert len(read_pairs(CORPORA / "leaves" / MEMBERS)) == len(drawn)


def test_the_card_says_that_the_corpus_is_synthetic(workspace: Path) -> None:
    params = validate(_content())
    _drawn()
    ingest(params, Reporter("ingest@leaves"), "leaves")
    said = "data/synthetic/leaves (synthetic: drawn, not photographed)"
    assert json.loads((CORPORA / "leaves" / CARD).read_text())["sources"] == [said]
    assert said in (CORPORA / "leaves" / PAGE).read_text()


def test_data_check_names_a_section_that_dvc_demands(workspace: Path) -> None:
    """It has a default, but without it `dvc repro` says only "Could not find 'synthetic'"."""
    plain = {key: value for key, value in tiny_params().items() if key != "synthetic"}
    (workspace / "params.yaml").write_text(yaml.safe_dump(plain))
    with pytest.raises(
        UserError, match=r"has no synthetic, without which `dvc repro` does not begin"
    ):
        CliRunner().invoke(app, ["data", "check"], catch_exceptions=False)


def test_data_check_and_preview_know_what_is_yet_to_be_drawn(workspace: Path) -> None:
    content = _content()
    content["tasks"]["noise"]["corpora"] = ["leaves"]
    write_params(workspace, content)
    done = CliRunner().invoke(app, ["data", "check"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "12 images" in done.output
    assert "to be drawn: dead_leaves, 80 x 70" in done.output
    with pytest.raises(UserError, match=r"not drawn yet; run `dvc repro synthetic@leaves` first"):
        examples(validate(content), "noise", 1)
    _drawn()
    (example,) = examples(validate(content), "noise", 1).examples
    assert example.target.shape == (70, 80, 3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"kind": "dead_leafs"},
            "synthetic.leaves.kind = 'dead_leafs': must be 'dead_leaves' or 'night_sky'",
        ),
        ({"count": 0}, "synthetic.leaves.count = 0: input should be greater than or equal to 1"),
        ({"width": 8}, "synthetic.leaves.width = 8: input should be greater than or equal to 16"),
        ({"colour": 3}, "synthetic.leaves.colour: unknown key"),
        (
            {"height": 60},
            "corpora.leaves: its drawn pictures have a side of 60 pixels, less than ingest.min_side = 64; "
            "raise synthetic.leaves.width and height",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        validate(_content(**changed))
    assert said in str(error.value)


@pytest.mark.parametrize("stage", ["noise", "residual"])
def test_pictures_below_the_crop_of_a_stage_that_uses_them_are_refused(stage: str) -> None:
    content = _content(width=200, height=100)  # taken in at 128 x 64
    content["train"][stage]["crop"] = 96
    if stage == "residual":
        validate(content)  # no task uses the corpus
        content["tasks"]["haze"]["corpora"] = ["leaves"]
    else:
        content["train"]["residual"]["crop"] = 32
    said = (
        rf"leaves: its drawn pictures have a side of 64 pixels, less than train\.{stage}\.crop = 96"
    )
    with pytest.raises(UserError, match=said):
        validate(content)


def test_a_source_that_nothing_draws_is_missing(workspace: Path) -> None:
    content = _content()
    content["corpora"]["more"] = {"source": "data/synthetic/leafs"}
    with pytest.raises(UserError, match=r"corpora\.more\.source = 'data/synthetic/leafs'"):
        check(validate(content), Reporter("check"))
