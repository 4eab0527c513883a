"""`drdd restore --mask`: one mask for a file, one for many files, or a folder of masks."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drdd.cli.restore import restore
from drdd.errors import UserError
from drdd.pictures.files import png
from drdd.pictures.pixels import Hole, Pixels
from tests.corpora import scene
from tests.inference.test_engine import make_model

SIZE = (24, 32)


def _hole(top: int) -> Hole:
    hole = np.zeros(SIZE, bool)
    hole[top : top + 6, 8:20] = True
    return hole


def _save_mask(path: Path, hole: Hole) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(hole.astype(np.uint8) * 255).save(path)


def _pixels(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _kept(path: Path, photo: Pixels, hole: Hole) -> bool:
    """Whether the output is the photograph outside the hole, and not inside."""
    restored = _pixels(path)
    outside = np.array_equal(restored[~hole], photo[~hole])
    return outside and not np.array_equal(restored[hole], photo[hole])


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Pixels]:
    """photos/a.png and photos/sub/b.png, in the current folder, with a model."""
    monkeypatch.chdir(tmp_path)
    make_model(tmp_path / "model")
    made = {"a": scene(0, *SIZE), "sub/b": scene(1, *SIZE)}
    for name, pixels in made.items():
        path = Path("photos", f"{name}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(pixels))
    return made


def test_one_picture_with_its_mask(photos: dict[str, Pixels]) -> None:
    _save_mask(Path("m.jpg"), _hole(4))
    restore(["photos/a.png"], "out.png", model="model", mask="m.jpg")
    assert _kept(Path("out.png"), photos["a"], _hole(4))


def test_one_mask_for_a_folder(photos: dict[str, Pixels]) -> None:
    _save_mask(Path("photos/m.png"), _hole(4))
    restore(["photos"], "out", model="model", mask="photos/m.png")
    assert _kept(Path("out/a.png"), photos["a"], _hole(4))
    assert _kept(Path("out/sub/b.png"), photos["sub/b"], _hole(4))
    assert not Path("out/m.png").exists(), "the mask is no input"


def test_a_folder_of_masks_by_name(photos: dict[str, Pixels]) -> None:
    _save_mask(Path("photos/masks/a.png"), _hole(2))
    _save_mask(Path("photos/masks/sub/b.bmp"), _hole(9))
    restore(["photos"], "out", model="model", mask="photos/masks")
    assert _kept(Path("out/a.png"), photos["a"], _hole(2))
    assert _kept(Path("out/sub/b.png"), photos["sub/b"], _hole(9))
    assert not Path("out/masks").exists()


def test_a_changed_mask_restores_again_and_an_unchanged_one_does_not(
    photos: dict[str, Pixels], capsys: pytest.CaptureFixture[str]
) -> None:
    _save_mask(Path("masks/a.png"), _hole(2))
    _save_mask(Path("masks/sub/b.png"), _hole(2))
    restore(["photos"], "out", model="model", mask="masks")
    restore(["photos"], "out", model="model", mask="masks")
    assert "0 restored, 2 were there already" in capsys.readouterr().out
    _save_mask(Path("masks/a.png"), _hole(11))
    restore(["photos"], "out", model="model", mask="masks")
    assert "1 restored, 1 were there already" in capsys.readouterr().out
    assert _kept(Path("out/a.png"), photos["a"], _hole(11))
    restore(["photos"], "out", model="model")
    assert "2 restored, 0 were there already" in capsys.readouterr().out


def test_what_has_no_usable_mask_is_set_aside_by_name(photos: dict[str, Pixels]) -> None:
    _save_mask(Path("masks/sub/b.png"), _hole(2).T)
    with pytest.raises(UserError, match="2 of 2 files could not be restored") as raised:
        restore(["photos"], "out", model="model", mask="masks")
    assert "a.png: it has no mask: none is called a, " in str(raised.value)
    assert "sub/b.png: its mask: it has 24 x 32 pixels" in str(raised.value)
    records = [json.loads(line) for line in Path("out/restored.jsonl").read_text().splitlines()]
    assert all(record["problem"] for record in records)


def test_two_masks_of_one_name_are_refused(photos: dict[str, Pixels]) -> None:
    for suffix in ("png", "jpg"):
        _save_mask(Path(f"masks/a.{suffix}"), _hole(2))
    with pytest.raises(UserError, match=r"a\.jpg and a\.png would be masks of the same picture"):
        restore(["photos"], "out", model="model", mask="masks")


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        ("photos/none.png", "photos/none.png does not exist"),
        ("photos/text.png", "photos/text.png: the mask cannot be used: "),
        ("black.png", "black.png: the mask cannot be used: it is black all over"),
        ("small.png", "small.png: the mask cannot be used: it has 31 x 24 pixels"),
    ],
)
def test_a_mask_that_cannot_be_used_is_said(
    photos: dict[str, Pixels], mask: str, said: str
) -> None:
    Path("photos/text.png").write_text("no picture")
    _save_mask(Path("black.png"), _hole(4) & False)
    _save_mask(Path("small.png"), _hole(4)[:, 1:])
    with pytest.raises(UserError, match=said):
        restore(["photos/a.png"], "out.png", model="model", mask=mask)
    assert not Path("out.png").exists()


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        ("text.png", "no image"),
        ("black.png", "it is black all over"),
        ("cut.png", "damaged or cut"),
    ],
)
def test_a_mask_for_all_that_is_one_for_none_is_refused_once(
    photos: dict[str, Pixels], mask: str, said: str
) -> None:
    Path("text.png").write_text("no picture")
    _save_mask(Path("black.png"), _hole(4) & False)
    _save_mask(Path("whole.png"), _hole(4))
    Path("cut.png").write_bytes(Path("whole.png").read_bytes()[:60])
    with pytest.raises(UserError, match=rf"^{mask}: the mask cannot be used: {said}"):
        restore(["photos"], "out", model="model", mask=mask)
    assert not Path("out").exists()


def test_an_output_never_replaces_a_mask(photos: dict[str, Pixels]) -> None:
    _save_mask(Path("masks/a.png"), _hole(2))
    _save_mask(Path("masks/sub/b.png"), _hole(2))
    before = Path("masks/a.png").read_bytes()
    for inputs, output, mask in (
        (["photos/a.png"], "masks/a.png", "masks/a.png"),
        (["photos"], "masks", "masks"),
    ):
        with pytest.raises(UserError, match="would replace an input"):
            restore(inputs, output, model="model", mask=mask)
    assert Path("masks/a.png").read_bytes() == before
