"""`drdd restore` of one picture: which file it becomes, and what is refused before a model is fetched."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drdd.cli.restore import restore
from drdd.errors import UserError
from drdd.pictures.files import png
from tests.corpora import scene
from tests.inference.test_engine import make_model


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "photo.png"
    path.write_bytes(png(scene(0, 24, 32)))
    return path


@pytest.mark.parametrize("name", ["out.gif", "out.tiff", "out.pn"])
def test_a_suffix_that_cannot_be_written_is_refused_first(photo: Path, name: str) -> None:
    with pytest.raises(UserError, match=rf"cannot write '{Path(name).suffix}'; one of \.png"):
        restore([str(photo)], name, model="no-such@model")
    assert not Path(name).exists()


@pytest.mark.parametrize("name", ["out.png", "out.JPG", "new/out.webp"])
def test_one_picture_becomes_the_file_that_is_named(photo: Path, name: str) -> None:
    model = make_model(photo.parent / "model")
    restore([str(photo)], name, model=str(model))
    with Image.open(name) as written:
        assert written.size == (32, 24)
        assert np.asarray(written.convert("RGB")).std() > 0


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("bse", "'bse' is neither base nor a model folder, and was sought in published: "),
        ("./model", "./model is no model: neither base, nor a model folder"),
    ],
)
def test_a_model_that_is_not_there_is_named(photo: Path, model: str, said: str) -> None:
    with pytest.raises(UserError) as raised:
        restore([str(photo)], "out.png", model=model, registry="published")
    assert str(raised.value).startswith(said)


def test_outside_a_project_a_model_that_is_not_there_needs_no_params(photo: Path) -> None:
    with pytest.raises(UserError, match="bse is no model: neither base, nor a model folder"):
        restore([str(photo)], "out.png", model="bse")


def test_a_picture_that_is_not_there_is_named(photo: Path) -> None:
    with pytest.raises(UserError) as raised:
        restore(["phto.png"], "out.png", model="base")
    assert str(raised.value) == f"{photo.parent / 'phto.png'} does not exist"
