"""`drdd restore`: what an input carries is in its output, of one picture, of many, and on S3."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image

from drdd.batch.ledger import FILE
from drdd.cli.restore import restore
from drdd.errors import UserError
from drdd.inference.engine import Restorer
from drdd.pictures.code_points import profile_of
from drdd.storage.objects import Store
from tests.corpora import scene
from tests.formats.samples import Base, Gps, camera_exif, image_of, samples_of_png
from tests.inference.test_engine import make_model
from tests.pictures.pngs import RGBA, made_png

SCENE = scene(0, 24, 32)
P3 = profile_of(12, 1)
DEEP = np.random.default_rng(2).integers(0, 65536, (24, 32, 4), dtype=np.uint16)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_model(tmp_path / "model")
    Path("in").mkdir()
    Image.fromarray(SCENE).save("in/p3.jpg", icc_profile=P3, exif=camera_exif(6), dpi=(300, 300))
    Path("in/deep.png").write_bytes(made_png(DEEP, RGBA, 16))
    return tmp_path


def _restore(source: str, output: str, **more: Any) -> None:
    restore([source], output, model="model", **more)


def _records() -> list[dict[str, str]]:
    return [json.loads(line) for line in Path("out", FILE).read_text().splitlines()]


def test_one_picture_keeps_what_it_carries(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _restore("in/p3.jpg", "out.jpg")
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("out.jpg  24 x 32  by model")
    assert said[1:] == ["out.jpg: Display P3 -> sRGB"]
    image = image_of(Path("out.jpg").read_bytes())
    assert image.size == (24, 32)
    assert image.info["dpi"] == (300, 300)
    assert "icc_profile" not in image.info
    exif = image.getexif()
    assert exif[Base.Orientation] == 1
    assert exif.get_ifd(Gps)[ExifTags.GPS.GPSLatitude] == (48.0, 30.0, 15.5)
    _restore("in/p3.jpg", "kept.tif", profile="keep", metadata="anonymous")
    assert "->" not in capsys.readouterr().out
    image = image_of(Path("kept.tif").read_bytes())
    assert image.info["icc_profile"] == P3
    assert not image.getexif().get_ifd(Gps)


def test_alpha_and_sixteen_bits_are_kept(place: Path) -> None:
    restorer = Restorer.from_folder(place / "model")
    restored = restorer.restore(DEEP).output
    _restore("in/deep.png", "out.png")
    assert np.array_equal(samples_of_png(Path("out.png").read_bytes()), restored)
    assert np.array_equal(restored[..., 3], DEEP[..., 3])
    _restore("in/deep.png", "out.tiff")
    assert np.array_equal(tifffile.imread("out.tiff"), restored)
    _restore("in/deep.png", "eight.png", depth="8")
    eight = samples_of_png(Path("eight.png").read_bytes())
    assert eight.dtype == np.uint8
    assert np.abs(eight[..., 3] - DEEP[..., 3] / 257).max() <= 0.501
    _restore("in/p3.jpg", "sixteen.png", depth="16")
    assert samples_of_png(Path("sixteen.png").read_bytes()).dtype == np.dtype(">u2")


def test_a_scale_enlarges_alpha_and_resolution(place: Path) -> None:
    make_model(place / "twice", scales=(2,))
    alpha = np.full((24, 32), 77, np.uint8)
    Image.fromarray(np.dstack([SCENE, alpha])).save("in/a.png", dpi=(150, 150))
    restore(["in/a.png"], "out.png", model="twice")
    image = image_of(Path("out.png").read_bytes())
    assert image.size == (64, 48)
    assert np.all(np.asarray(image)[..., 3] == 77)
    assert image.info["dpi"] == pytest.approx((300, 300), rel=1e-3)


@pytest.mark.parametrize(("output", "more"), [("out.jpg", {}), ("out", {"format": "webp"})])
def test_a_depth_that_cannot_be_is_refused_first(place: Path, output: str, more: Any) -> None:
    source = "in/p3.jpg" if output == "out.jpg" else "in"
    with pytest.raises(UserError, match="has 8 bits a channel, not 16; write PNG or TIFF"):
        restore([source], output, model="no-such@model", depth="16", **more)
    assert not Path(output).exists()


def test_another_option_is_another_output(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _restore("in", "out", threads=1)
    said = capsys.readouterr().out
    assert "2 restored, 0 were there already" in said
    assert "1 x Display P3 -> sRGB" in said.splitlines()
    first = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    _restore("in", "out", threads=1)
    said = capsys.readouterr().out
    assert "0 restored, 2 were there already" in said
    assert "1 x Display P3 -> sRGB" in said.splitlines()
    changes: list[dict[str, Any]] = [
        {"metadata": "none"},
        {"metadata": "anonymous"},
        {"profile": "keep"},
        {"depth": "8"},
    ]
    for change in changes:
        _restore("in", "out", threads=1, **change)
        assert "2 restored, 0 were there already" in capsys.readouterr().out, change
    _restore("in", "out", threads=1)
    assert "2 restored" in capsys.readouterr().out
    again = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    assert again == first
    records = {one["input"]: one for one in _records()}
    assert records["p3.jpg"]["note"] == "Display P3 -> sRGB"
    assert records["deep.png"]["note"] == ""


def test_a_folder_becomes_tiffs(place: Path) -> None:
    _restore("in", "out", threads=1, format="tif", profile="keep")
    assert sorted(path.name for path in Path("out").glob("*.tif")) == ["deep.tif", "p3.tif"]
    assert tifffile.imread("out/deep.tif").dtype == np.uint16
    assert image_of(Path("out/p3.tif").read_bytes()).info["icc_profile"] == P3


@pytest.mark.slow
def test_on_s3_and_by_workers_too(
    place: Path, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    store = Store(f"s3://drdd/carried-{place.name}")
    for path in Path("in").iterdir():
        store.put(f"in/{path.name}", path)
    _restore("in", "here", threads=1, format="tif", profile="keep")
    _restore(f"{store.uri}/in", f"{store.uri}/out", threads=1, format="tif", profile="keep")
    _restore("in", "by-workers", threads=1, format="tif", profile="keep", workers=2)
    for name in ("p3.tif", "deep.tif"):
        content = Path("here", name).read_bytes()
        assert store.get(f"out/{name}") == content
        assert Path("by-workers", name).read_bytes() == content
    restore([f"{store.uri}/in/p3.jpg"], f"{store.uri}/one.tif", model="model", profile="keep")
    one = store.get("one.tif")
    assert one is not None
    assert image_of(one).info["icc_profile"] == P3
