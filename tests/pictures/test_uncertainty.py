"""A map of uncertainty: one scale for all pictures."""

import io

import numpy as np
import pytest
from PIL import Image

from drdd.pictures.uncertainty import GREYS, WHITE, said_of, uncertainty_map, uncertainty_png


@pytest.mark.parametrize(
    ("deviation", "grey"), [(0.0, 0), (1.0, GREYS), (2.5, 80), (WHITE, 255), (127.5, 255)]
)
def test_a_deviation_is_the_same_grey_in_every_picture(deviation: float, grey: int) -> None:
    flat = np.full((3, 4), deviation, np.float32)
    assert (uncertainty_map(flat) == grey).all()
    beside = np.array([[deviation, 100.0]], np.float32)
    assert uncertainty_map(beside)[0, 0] == grey


def test_the_file_is_grey_loses_nothing_and_names_its_scale() -> None:
    deviation = np.random.default_rng(0).uniform(0, WHITE, (40, 30)).astype(np.float32)
    with Image.open(io.BytesIO(uncertainty_png(deviation))) as image:
        assert (image.mode, image.format, image.size) == ("L", "PNG", (30, 40))
        assert np.abs(np.asarray(image) / GREYS - deviation).max() <= 0.5 / GREYS + 1e-6
        assert "32 grey levels for each level of 255" in image.info["Description"]


def test_words_for_people() -> None:
    assert said_of(np.zeros((2, 2))).startswith("all samples are equal")
    said = said_of(np.array([[1.0, 3.25]]))
    assert said == "the samples deviate by 2.12 levels of 255 in the mean, by 3.2 at most"
