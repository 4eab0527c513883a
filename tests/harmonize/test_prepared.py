"""harmonize: from tiny pictures to a table, a plot and a suggestion; and the command."""

from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from torch import Tensor
from typer.testing import CliRunner

from drdd.cli import harmonize as harmonize_cli
from drdd.data.pairs import HOLDOUT, TRAIN, Pair, read_pairs, write_pairs
from drdd.errors import UserError
from drdd.harmonize.prepared import COUNT, CROP, PLOT, TABLE, harmonize
from drdd.params import read, validate
from drdd.stages.paths import MEMBERS, PAIRS, UNPAIRED
from tests.conftest import ROOT
from tests.corpora import Pixels, clean_corpus, paired_corpus, task_pairs, unpaired_pictures
from tests.project import write_params

LEVELS = (0.2, 1.0)


def _params() -> dict[str, Any]:
    content = read(ROOT / "params.yaml")
    content["corpora"] = {name: content["corpora"][name] for name in ("nature", "sky")}
    content["train"]["noise"]["corpora"] = None
    content["tasks"] = {
        name: content["tasks"][name] | {"corpora": ["nature"]} for name in ("noise", "haze")
    }
    return content


def _images(shade: int) -> dict[str, Pixels]:
    images = {}
    for seed in range(3):
        noise = np.random.default_rng(seed).integers(0, 60, (48, 40, 3))
        images[f"{seed}.png"] = (noise + shade).astype(np.uint8)
    return images


@pytest.fixture
def prepared(workspace: Path) -> Path:
    images = _images(60)
    nature = [replace(one, split=TRAIN) for one in clean_corpus("nature", images)]
    sky = [replace(one, split=TRAIN) for one in clean_corpus("sky", _images(150))]
    unpaired_pictures([*nature, *sky])
    for task in ("noise", "haze"):
        task_pairs(
            task,
            {replace(one, variant=v): 255 - images[one.name] - v for one in nature for v in (0, 1)},
        )
    return workspace


def _means(x: Tensor) -> Tensor:
    return x.mean(dim=(2, 3))


def _measure(seed: int | None = None) -> bytes:
    harmonize(validate(_params()), 12, 32, LEVELS, seed, _means)
    return TABLE.read_bytes()


def test_results_are_written_and_returned(prepared: Path) -> None:
    done = harmonize(validate(_params()), count=12, crop=32, levels=LEVELS)
    written = pd.read_csv(TABLE)
    assert set(written["name"]) == {"nature - sky", "noise", "haze"}
    assert set(written["level"]) == {0.0, *LEVELS}
    pd.testing.assert_frame_equal(written, done.table, rtol=1e-4, check_dtype=False)
    assert done.suggestion.level in LEVELS
    assert PLOT.read_text().startswith("<svg ")


def test_the_same_bytes_again(prepared: Path) -> None:
    first = _measure()
    assert _measure() == first
    assert _measure(seed=0) == first
    assert _measure(seed=1) != first


def test_unprepared_data_are_refused_and_nothing_is_written(workspace: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"data/unpaired/pictures\.csv, data/pairs/noise/members\.csv, .*dvc repro prepare",
    ):
        harmonize(validate(_params()))
    assert not TABLE.exists()


def test_what_has_nothing_to_train_on_is_named(prepared: Path) -> None:
    unpaired_pictures([one for one in read_pairs(UNPAIRED) if one.corpus == "nature"])
    with pytest.raises(UserError, match="corpora/sky: it has nothing to train on"):
        _measure()
    assert not TABLE.exists()


def test_a_task_of_pairs_is_measured_too(prepared: Path) -> None:
    """Its pictures are in its corpus alone; nothing was written for the task itself."""
    scenes = {name: (pixels, pixels // 2) for name, pixels in _images(90).items()}
    task_pairs("rain", {})
    write_pairs(
        PAIRS / "rain" / MEMBERS, [replace(p, split=TRAIN) for p in paired_corpus("rain", scenes)]
    )
    content = _params()
    content["paired"] = {"rain": {"input": "i", "target": "t"}}
    content["tasks"]["rain"] = {"paired": ["rain"]}
    harmonize(validate(content), 12, 32, LEVELS, None, _means)
    assert "rain" in set(pd.read_csv(TABLE)["name"])


def test_held_out_pairs_are_not_looked_at(prepared: Path) -> None:
    first = _measure()
    path = PAIRS / "haze" / MEMBERS
    held = Pair("nature", "held.png", "no such picture", "none either", HOLDOUT)
    write_pairs(path, [held, *read_pairs(path)])
    assert _measure() == first


def test_every_wrong_setting_is_named_at_once(prepared: Path) -> None:
    with pytest.raises(UserError, match=r"count is 1;.*crop is 8;.*levels are 0, -1"):
        harmonize(validate(_params()), count=1, crop=8, levels=(0.0, -1.0))


def _app() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)
    harmonize_cli.register(app)
    return app


def test_the_command_prints_table_suggestion_and_places(prepared: Path) -> None:
    write_params(Path(), _params())
    command = ["harmonize", "--count", "8", "--crop", "32", "--levels", "0.5,1", "--seed", "3"]
    done = CliRunner().invoke(_app(), command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    for said in ("nature - sky", "haze", "without", "diffusion.noise_level is", str(TABLE)):
        assert said in done.output


def test_the_commands_defaults_are_the_stages() -> None:
    defaults = {
        name: p.default for name, p in signature(harmonize_cli.harmonize).parameters.items()
    }
    assert (defaults["count"], defaults["crop"]) == (COUNT, CROP)


def test_levels_that_are_no_numbers_are_refused(prepared: Path) -> None:
    write_params(Path(), _params())
    with pytest.raises(UserError, match="--levels 'much'"):
        CliRunner().invoke(_app(), ["harmonize", "--levels", "much"], catch_exceptions=False)
