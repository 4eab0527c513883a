"""A file's pixels as the project decodes them; samples and pictures to make files of."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drdd.intake.decoding import Limits
from drdd.pictures.colours import Bits, alpha_of, opened, rgb_of
from drdd.pictures.opening import decoding
from drdd.pictures.profiles import made_profile
from tests.corpora import scene
from tests.pictures.pngs import COUNT

Levels = NDArray[Any]
ANY = Limits(1, 10**9, 10**9)
LINEAR = made_profile(gamma=1)
PICTURE = Image.fromarray(scene(0, 40, 48))
GREY_55 = np.full((8, 8, 3), 55, np.uint8)
SMALL = Image.fromarray(scene(1, 8, 8))


def rgb_in(content: bytes, bits: Bits = 8) -> Levels:
    with decoding():
        return rgb_of(opened(content), bits)


def alpha_in(content: bytes, bits: Bits = 8) -> Levels | None:
    with decoding():
        return alpha_of(opened(content), bits)


def samples(kind: int, depth: int) -> Levels:
    """(9, 13, C), of all values."""
    return np.random.default_rng(depth).integers(0, 2**depth, (9, 13, COUNT[kind]))
