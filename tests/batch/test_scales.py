"""`drdd restore --scale`: one picture and many come out larger; what cannot be is refused."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drdd.batch import worker
from drdd.batch.plan import plan
from drdd.batch.worker import BatchRestorer, Recipe, weights_of
from drdd.cli.restore import restore
from drdd.errors import UserError
from drdd.formats.carried import KEPT
from drdd.inference.engine import Restorer
from drdd.inference.options import Options
from drdd.pictures.files import png
from drdd.pictures.pixels import Pixels
from tests.corpora import scene
from tests.inference.test_engine import make_model

SIZE = (24, 32)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of scales 1, 2 and 3, beside the folder `in` with three pictures."""
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        path = Path("in", f"{number}.png")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(scene(number, *SIZE)))
    return make_model(tmp_path / "model", scales=(1, 2, 3))


def _pixels(path: str) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image)


def test_one_picture_comes_out_larger(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    restore(["in/0.png"], "big.png", model=str(model), scale=2, seed=3)
    asked = Options(seed=3, scale=2)
    expected = Restorer.from_folder(model).restore(scene(0, *SIZE), asked).output
    assert np.array_equal(_pixels("big.png"), expected)
    assert "big.png  64 x 48  by model " in capsys.readouterr().out
    restore(["in/0.png"], "same.png", model=str(model))
    assert _pixels("same.png").shape == (*SIZE, 3)


def test_maps_of_uncertainty_are_as_large_as_outputs(model: Path) -> None:
    restore(
        ["in/0.png"], "big.png", model=str(model), scale=2, samples=2, uncertainty="maps/one.png"
    )
    assert _pixels("maps/one.png").shape == (48, 64)
    restore(["in"], "big", model=str(model), scale=2, samples=2, uncertainty="maps/all", threads=1)
    assert _pixels("maps/all/0.png").shape == (48, 64)


def test_a_folder_comes_out_larger_and_another_scale_is_another_output(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for scale, said in ((2, "3 restored, 0 were"), (2, "0 restored, 3 were"), (3, "3 restored, 0")):
        restore(["in"], "out", model=str(model), scale=scale, threads=1)
        assert said in capsys.readouterr().out
        for number in range(3):
            assert _pixels(f"out/{number}.png").shape == (24 * scale, 32 * scale, 3)


def test_batches_are_counted_at_the_size_of_outputs(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three enlarged pictures are more than a batch may have, where three small ones are not."""
    monkeypatch.setattr(worker, "BATCH_PIXELS", 3 * 32 * 32)
    together: list[int] = []
    whole = Restorer.restore_batch

    def counted(self: Restorer, pictures: list[Pixels], *more: object, **also: object) -> object:
        together.append(len(pictures))
        return whole(self, pictures, *more, **also)  # type: ignore[arg-type]

    monkeypatch.setattr(Restorer, "restore_batch", counted)
    recipe = Recipe(str(model), weights_of(model), Options(), ".png")
    for scale in (1, 2):
        one = replace(recipe, options=Options(scale=scale))
        files = plan(["in"], f"out{scale}", ".png").files
        assert len(list(BatchRestorer(one, f"out{scale}", {}, 8, 1).records(files))) == 3
    assert together == [3, 1, 1, 1]


def test_the_limit_of_pixels_is_that_of_the_output(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MOST_PIXELS", 4 * 24 * 32)
    restore(["in/0.png"], "big.png", model=str(model), scale=2)
    monkeypatch.setattr(worker, "MOST_PIXELS", 4 * 24 * 32 - 1)
    worker.read_one("in/0.png", KEPT, "PNG")
    with pytest.raises(UserError, match=r"in/0\.png: claims 32 x 24 pixels, over the limit"):
        restore(["in/0.png"], "big.png", model=str(model), scale=2)
    with pytest.raises(UserError, match=r"3 of 3 files .* claims 32 x 24 pixels, over the limit"):
        restore(["in"], "out", model=str(model), scale=2, threads=1)


@pytest.mark.parametrize("inputs", ["in/0.png", "in"])
def test_what_cannot_be_is_refused_before_anything_is_written(model: Path, inputs: str) -> None:
    output = "out.png" if inputs.endswith("png") else "out"
    buffer = io.BytesIO()
    Image.new("L", (32, 24), 255).save(buffer, "PNG")
    Path("m.png").write_bytes(buffer.getvalue())
    for more, said in (
        ({"scale": 4}, "scale 4: this model has 1 times and 2 times and 3 times"),
        (
            {"scale": 2, "mask": "m.png"},
            "a mask was given, and the picture would be enlarged 2 times",
        ),
    ):
        with pytest.raises(UserError, match=said):
            restore([inputs], output, model=str(model), **more)
    plain = make_model(Path("plain"))
    with pytest.raises(UserError, match="scale 2: none of this model's tasks enlarges pictures"):
        restore([inputs], output, model=f"./{plain}", scale=2)
    several = make_model(Path("several"), scales=(2, 4))
    with pytest.raises(UserError, match="this model enlarges 2 times and 4 times: say which"):
        restore([inputs], output, model=f"./{several}")
    assert not Path(output).exists()


def test_a_model_of_one_scale_needs_no_word(model: Path) -> None:
    only = make_model(Path("only"), scales=(2,))
    restore(["in/0.png"], "big.png", model=f"./{only}")
    assert _pixels("big.png").shape == (48, 64, 3)
