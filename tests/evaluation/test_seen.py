"""A held-out picture that the base learned from is named, whole or nearly."""

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from drdd.data.shards import table_of
from drdd.errors import UserError
from drdd.evaluation.seen import seen_by_base
from drdd.pictures.pixels import Picture, described
from tests.corpora import scene


def _picture(name: str, image: Image.Image) -> Picture:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return described(name, buffer.getvalue(), image)


def test_the_same_and_nearly_the_same_are_found_and_others_are_not(tmp_path: Path) -> None:
    images = [Image.fromarray(scene(n, 120, 90)) for n in range(4)]
    of_base = table_of([_picture(f"base {n}.png", images[n]) for n in range(3)])
    pq.write_table(of_base.select(["id", "name", "thumbnail"]), tmp_path / "pictures.parquet")
    brighter = Image.fromarray(
        np.clip(np.asarray(images[1]).astype(int) + 2, 0, 255).astype(np.uint8)
    )
    held = [
        _picture("equal.png", images[0]),
        _picture("near.png", brighter.resize((60, 80))),
        _picture("other.png", images[3]),
    ]
    known = table_of([*held, _picture("not held out.png", images[2])])
    names = {one.id: one.name for one in held}
    assert seen_by_base(names, known, tmp_path / "pictures.parquet") == {
        "equal.png": "base 0.png",
        "near.png": "base 1.png",
    }


@pytest.mark.parametrize("content", [None, b"PAR1 cut off"])
def test_missing_or_damaged_thumbnails_are_said(tmp_path: Path, content: bytes | None) -> None:
    path, picture = tmp_path / "pictures.parquet", _picture("a.png", Image.new("RGB", (90, 90)))
    if content:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"base that ships .* damaged .*; install drdd again"):
        seen_by_base({picture.id: "a"}, table_of([picture]), path)
