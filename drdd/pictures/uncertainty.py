"""How sure a restoration is: the standard deviation of its samples as a picture, on one scale for all."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

GREYS = 32  # grey levels of the map for one level of deviation, of the 255 of a picture
WHITE = 255 / GREYS  # the deviation from which the map is white
SCALE = f"standard deviation of the samples: {GREYS} grey levels for each level of 255"


def uncertainty_map(deviation: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(H, W) deviation in levels of [0, 255] -> (H, W) grey: black where all samples agree.

    The scale is the same for all pictures, so maps can be compared. It ends at WHITE, which is far beyond
    what samples of one picture usually differ by.
    """
    return np.minimum(np.rint(deviation * GREYS), 255).astype(np.uint8)


def uncertainty_png(deviation: NDArray[np.floating]) -> bytes:
    """The map as a PNG, which names its scale in a text."""
    said = PngImagePlugin.PngInfo()
    said.add_text("Description", SCALE)
    buffer = io.BytesIO()
    Image.fromarray(uncertainty_map(deviation)).save(buffer, "PNG", pnginfo=said)
    return buffer.getvalue()


def said_of(deviation: NDArray[np.floating]) -> str:
    """A few words for people."""
    if not deviation.any():
        return "all samples are equal: this model adds nothing at random at these settings"
    mean, most = deviation.mean(), deviation.max()
    return f"the samples deviate by {mean:.2f} levels of 255 in the mean, by {most:.1f} at most"
