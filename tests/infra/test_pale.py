"""Pale copies: the same picture, lighter and with less contrast, made once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from infra.base.pale import SIDE, write_pale
from tests.infra.test_photographs import photograph


def test_a_copy_is_lighter_and_flatter_and_each_in_its_own_way(tmp_path: Path) -> None:
    gradient = np.tile(np.linspace(0, 255, 400).astype(np.uint8)[None, :, None], (300, 1, 3))
    train = [photograph(f"usr/{n}.png", bytes([n])) for n in range(6)]
    held = replace(photograph("usr/held.png", b"h"), split="holdout")
    for one in (*train, held):
        (tmp_path / one.place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(gradient).save(tmp_path / one.place)
    absent = photograph("usr/absent.png", b"a")
    write_pale(tmp_path, [*train, held, absent])
    found = sorted((tmp_path / "pale").rglob("*.png"))
    assert [path.name for path in found] == [f"{n}.png.png" for n in range(6)]
    pictures = [np.asarray(Image.open(path)).astype(int) for path in found]
    for pixels in pictures:
        assert max(pixels.shape) == SIDE
        assert pixels.min() > 20
        assert 0.3 * 255 < np.ptp(pixels[..., 1]) < 0.85 * 255
        assert (np.diff(pixels[0, :, 1]) >= 0).all()
    assert len({int(pixels.min()) for pixels in pictures}) > 3
    found[0].write_bytes(b"kept")
    write_pale(tmp_path, train)
    assert found[0].read_bytes() == b"kept"
