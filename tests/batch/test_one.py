"""`drdd restore` of one picture: which file it becomes, and what is refused before a model is fetched."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drdd.cli.restore import restore
from drdd.errors import UserError
from drdd.inference.engine import Restorer
from drdd.inference.options import Options
from drdd.pictures.files import png
from drdd.pictures.uncertainty import said_of, uncertainty_map
from tests.corpora import scene
from tests.inference.test_engine import make_model


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "photo.png"
    path.write_bytes(png(scene(0, 24, 32)))
    return path


@pytest.mark.parametrize("name", ["out.gif", "out.bmp", "out.pn"])
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


def test_the_mean_of_samples_and_their_map(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = make_model(photo.parent / "model")
    restore([str(photo)], "out.png", model=str(model), samples=3, seed=5, uncertainty="new/u.png")
    restorer = Restorer.from_folder(model)
    expected = restorer.restore(np.asarray(Image.open(photo)), Options(seed=5, samples=3))
    assert np.array_equal(np.asarray(Image.open("out.png")), expected.output)
    assert expected.deviation is not None
    assert np.array_equal(np.asarray(Image.open("new/u.png")), uncertainty_map(expected.deviation))
    said = capsys.readouterr().out
    assert f"new/u.png: {said_of(expected.deviation)}" in said
    restore([str(photo)], "one.png", model=str(model), samples=1)
    plain = restorer.restore(np.asarray(Image.open(photo))).output
    assert np.array_equal(np.asarray(Image.open("one.png")), plain)
    assert "samples" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("uncertainty", "samples", "said"),
    [
        (
            "u.png",
            1,
            "--uncertainty says how much samples differ, and there is one; add --samples 8",
        ),
        ("u.jpg", 2, "--uncertainty u.jpg: a map is a PNG"),
        ("maps/", 2, "--uncertainty maps: a map is a PNG"),
        ("new/../out.png", 2, "would replace the output"),
        ("photo.png", 2, "photo.png would replace an input"),
    ],
)
def test_a_map_that_cannot_be_is_refused_first(
    photo: Path, uncertainty: str, samples: int, said: str
) -> None:
    before = photo.read_bytes()
    with pytest.raises(UserError) as raised:
        restore(
            [str(photo)], "out.png", model="no-such@model", samples=samples, uncertainty=uncertainty
        )
    assert said in str(raised.value)
    assert sorted(photo.parent.iterdir()) == [photo]
    assert photo.read_bytes() == before


def test_maps_of_a_folder_have_a_folder_of_their_own(photo: Path) -> None:
    model = make_model(photo.parent / "model")
    Path("in").mkdir()
    photo.rename("in/photo.png")
    restore(["in"], "out", model=str(model), samples=2, uncertainty="maps", threads=1)
    assert [path.name for path in Path("maps").iterdir()] == ["photo.png"]
    assert Image.open("maps/photo.png").mode == "L"


@pytest.mark.parametrize("place", ["input", "output", "mask", "uncertainty"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("-", r"- stands for a stream.*; name a file; \./- is one"),
        ("", r"an input, --output, .* is empty; name a file, or \."),
    ],
)
def test_a_stream_or_nothing_is_no_file(photo: Path, place: str, name: str, said: str) -> None:
    given = {"input": str(photo), "output": "out.png", "mask": None, "uncertainty": None} | {
        place: name
    }
    with pytest.raises(UserError, match=said):
        restore(
            [str(given["input"])],
            str(given["output"]),
            mask=given["mask"],
            uncertainty=given["uncertainty"],
            samples=2,
        )
    assert list(photo.parent.iterdir()) == [photo]


@pytest.mark.parametrize(
    ("output", "file"),
    [
        ("a-file/out.png", "a-file"),
        ("a-file/new/out.png", "a-file"),
        ("a-file", "a-file"),
        ("a-file/new/", "a-file"),
        ("/dev/null", "/dev/null"),
    ],
)
def test_a_file_in_the_place_of_a_folder_is_named(photo: Path, output: str, file: str) -> None:
    Path("a-file").write_text("mine")
    model = make_model(photo.parent / "model")
    with pytest.raises(UserError, match=rf"{file} is no folder; name another place$") as raised:
        restore([str(photo)], output, model=str(model), threads=1)
    assert str(raised.value).count(file) == (1 if file == output else 2)
    assert Path("a-file").read_text() == "mine"


@pytest.mark.parametrize("many", [False, True])
def test_a_map_that_cannot_be_written_is_refused_before_any_output(photo: Path, many: bool) -> None:
    Path("a-file").write_text("mine")
    output, maps = ("out", "a-file") if many else ("out.png", "a-file/u.png")
    with pytest.raises(UserError, match=r"a-file is no folder"):
        restore(
            ["*.png"] if many else [str(photo)],
            output,
            model=str(make_model(photo.parent / "model")),
            samples=2,
            uncertainty=maps,
            threads=1,
        )
    assert not Path(output).exists()


def test_several_folders_are_no_files(photo: Path) -> None:
    for name, said in (("model", "model: is no file"), ("none.png", r"none\.png: no such file")):
        with pytest.raises(UserError, match=rf"{said}; several inputs must be files"):
            restore([str(photo), name], "out", model=str(make_model(photo.parent / "model")))
