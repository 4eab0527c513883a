"""Pale copies of photographs, as a dull day or a flat camera makes them.

Few photographs are pale by nature. A model that has seen few takes each for a hazy one, whatever else is
wrong with it. So the tasks whose degradation leaves light and colour alone learn from such copies as well,
as clean pictures.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from drdd.base.photographs import Photograph
from drdd.files import write_bytes
from drdd.pictures.files import quick_png

FOLDER = "pale"
SIDE = 288
CONTRAST = (0.35, 0.8)  # share that is left
VEIL = (0.55, 1.0)  # brightness of what takes the place of the rest
TINT = 0.06  # by how much its channels differ, at most


def write_pale(folder: Path, photographs: Sequence[Photograph]) -> None:
    """FOLDER/pale/<package>/<name>.png of every training photograph that is in `folder`, once."""
    for one in photographs:
        source = folder / one.place
        path = folder / FOLDER / one.package / f"{one.name}.png"
        if one.split == "train" and source.exists() and not path.exists():
            write_bytes(path, quick_png(_pale(source, random.Random(one.sha256))))


def _pale(source: Path, rng: random.Random) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """contrast * x + (1 - contrast) * veil, (H, W, 3) uint8, drawn by `rng`."""
    image = Image.open(source).convert("RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    contrast, veil = rng.uniform(*CONTRAST), rng.uniform(*VEIL)
    colour = np.array([veil + rng.uniform(-TINT, TINT) for _ in range(3)]).clip(0, 1)
    pale = contrast * np.asarray(image) + (1 - contrast) * 255 * colour
    return pale.round().clip(0, 255).astype(np.uint8)
