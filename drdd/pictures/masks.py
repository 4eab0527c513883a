"""What a picture of a mask marks, whether it came as a file or from Pillow."""

from drdd.pictures.colours import Opened, alpha_of, rgb_of
from drdd.pictures.errors import PictureError
from drdd.pictures.pixels import Hole

HALF = 127.5


def hole_of(file: Opened) -> Hole:
    """(H, W), upright: True where the mask is white, or nearer to white than to black.

    To be called within `decoding`. Raises PictureError for a mask with transparent pixels, which some
    programs mean to be filled and some to be kept; and for a file of several pictures.
    """
    if file.has_more:
        raise PictureError("it has several pictures, and a mask is one; save that one by itself")
    alpha = alpha_of(file, bits=8)
    if alpha is not None and int(alpha.min(initial=255)) < 255:
        raise PictureError(
            "it has transparent pixels; save it without, white where the picture is to be filled and "
            "black elsewhere"
        )
    hole: Hole = rgb_of(file, bits=8).mean(2) >= HALF
    return hole
