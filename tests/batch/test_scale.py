"""`drdd restore --scale`: outputs so many times larger, of one picture and of a folder."""

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

PIXELS = scene(0, 24, 33)


def _shape(path: str) -> tuple[int, ...]:
    with Image.open(path) as image:
        return np.asarray(image).shape


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of tasks of scale 1 and 2, beside small.png and the folder `photos` with two pictures."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "small.png").write_bytes(png(PIXELS))
    for n in range(2):
        (tmp_path / f"photos/{n}.png").write_bytes(png(scene(n, 24, 33)))
    return str(make_model(tmp_path / "model", scales=(1, 2)))


def test_one_picture_is_enlarged(model: str) -> None:
    with Image.open("small.png") as small:
        small.save("small.png", dpi=(72, 72))
    restore(["small.png"], "large.png", model=model, scale=2)
    wanted = Restorer.from_folder(model).restore(PIXELS, Options(scale=2)).output
    with Image.open("large.png") as large:
        assert np.array_equal(np.asarray(large), wanted)
        assert np.allclose(large.info["dpi"], 144, atol=0.1)  # it prints at the same size
    restore(["small.png"], "same.png", model=model)
    with Image.open("same.png") as same:
        assert same.size == (33, 24)


def test_a_folder_is_enlarged_and_another_scale_is_another_recipe(model: str) -> None:
    for scale, size in ((2, (66, 48)), (1, (33, 24)), (2, (66, 48))):
        restore(["photos"], "out", model=model, scale=scale, threads=1)
        for n in range(2):
            with Image.open(f"out/{n}.png") as output:
                assert output.size == size


def test_a_scale_that_the_model_lacks_and_a_mask_are_refused_first(model: str) -> None:
    Path("mask.png").write_bytes(png(np.full((24, 33, 3), 255, np.uint8)))
    for inputs, output in ((["small.png"], "out.png"), (["photos"], "out")):
        with pytest.raises(UserError, match="scale 3: this model has 1 times and 2 times"):
            restore(inputs, output, model=model, scale=3)
        with pytest.raises(
            UserError, match="a mask was given, and the picture would be enlarged 2"
        ):
            restore(inputs, output, model=model, scale=2, mask="mask.png")
    assert not Path("out.png").exists()
    assert not Path("out").exists()


def test_maps_of_uncertainty_are_as_large_as_outputs(model: str) -> None:
    restore(["small.png"], "big.png", model=model, scale=2, samples=2, uncertainty="maps/one.png")
    assert _shape("maps/one.png") == (48, 66)
    restore(["photos"], "big", model=model, scale=2, samples=2, uncertainty="maps/all", threads=1)
    assert _shape("maps/all/0.png") == (48, 66)


def test_batches_are_counted_at_the_size_of_outputs(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two enlarged pictures are more than a batch may have, where two small ones are not."""
    monkeypatch.setattr(worker, "BATCH_PIXELS", 2 * 32 * 64)
    together: list[int] = []
    whole = Restorer.restore_batch

    def counted(self: Restorer, pictures: list[Pixels], *more: object, **also: object) -> object:
        together.append(len(pictures))
        return whole(self, pictures, *more, **also)  # type: ignore[arg-type]

    monkeypatch.setattr(Restorer, "restore_batch", counted)
    recipe = Recipe(model, weights_of(Path(model)), Options(), ".png")
    for scale in (1, 2):
        one = replace(recipe, options=Options(scale=scale))
        files = plan(["photos"], f"out{scale}", ".png").files
        assert len(list(BatchRestorer(one, f"out{scale}", {}, 8, 1).records(files))) == 2
    assert together == [2, 1, 1]


def test_the_limit_of_pixels_is_that_of_the_output(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "ANY_SIZE", replace(worker.ANY_SIZE, max_pixels=4 * 24 * 33))
    restore(["small.png"], "big.png", model=model, scale=2)
    monkeypatch.setattr(worker, "ANY_SIZE", replace(worker.ANY_SIZE, max_pixels=4 * 24 * 33 - 1))
    worker.read_one("small.png", KEPT, "PNG")
    with pytest.raises(UserError, match=r"small\.png: claims 33 x 24 pixels, over the limit"):
        restore(["small.png"], "big.png", model=model, scale=2)
    with pytest.raises(UserError, match=r"2 of 2 files .* claims 33 x 24 pixels, over the limit"):
        restore(["photos"], "out", model=model, scale=2, threads=1)


def test_a_model_of_one_scale_needs_no_word(model: str) -> None:
    only = make_model(Path("only"), scales=(2,))
    restore(["small.png"], "big.png", model=f"./{only}")
    assert _shape("big.png") == (48, 66, 3)
