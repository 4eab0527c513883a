"""The reference for masks: biharmonic inpainting of the hole, which is found in the picture itself."""

from math import ceil, sqrt
from typing import TYPE_CHECKING

from drdd.references.deferred import ndimage, np, restoration
from drdd.references.levels import to_levels, to_pixels
from drdd.references.registry import reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drdd.pictures.pixels import Pixels
    from drdd.references.levels import Levels

    Mask = NDArray[np.bool_]
    """(H, W)"""

MOST = 2000  # unknown cells of the linear system; of a larger hole, a scaled-down picture is solved
NEIGHBOURS = 3  # pixels: the side of a square that is flat all over only in a hole
ENDS = (0, 255)  # photographs have flat areas of these themselves


@reference(
    "box_mask",
    "border_mask",
    "brush_mask",
    source="Damelin and Hoang 2018, biharmonic functions; scikit-image",
)
def biharmonic(pixels: "Pixels") -> "Pixels":
    """The hole becomes the smoothest surface through what is around it; no hole, no change."""
    hole = find_hole(pixels)
    if not hole.any() or hole.all():
        return pixels.copy()
    return np.where(hole[..., None], to_pixels(_filled(to_levels(pixels), hole)), pixels)


def find_hole(pixels: "Pixels") -> "Mask":
    """Where the picture has the one grey that is flat over most of it.

    Black or white is taken only if no other grey is flat anywhere.
    """
    value = pixels[..., 0]
    grey = (pixels == value[..., None]).all(-1)
    low, high = (
        filter_(value, NEIGHBOURS, mode="nearest")
        for filter_ in (ndimage.minimum_filter, ndimage.maximum_filter)
    )
    flat = ndimage.minimum_filter(grey, NEIGHBOURS, mode="nearest") & (low == high)
    counts = np.bincount(value[flat], minlength=256)
    if counts[1:255].any():
        counts[list(ENDS)] = 0
    same = grey & (value == counts.argmax())
    return ndimage.binary_propagation(flat & same, mask=same)


def _filled(levels: "Levels", hole: "Mask") -> "Levels":
    """(H, W, 3) of which only the pixels in the hole are meant.

    Cells of side x side pixels, at most MOST of them unknown, are solved and interpolated.
    """
    height, width = hole.shape
    side = min(ceil(sqrt(hole.sum() / MOST)), height, width)
    known = _cells(~hole[..., None], side)
    means = _cells(levels * ~hole[..., None], side) / np.maximum(known, 1)
    unknown = known[..., 0] == 0
    if unknown.any() and not unknown.all():
        means = restoration.inpaint_biharmonic(means, unknown, channel_axis=-1)
    around = np.pad(means, ((1, 1), (1, 1), (0, 0)), mode="edge")
    spread = ndimage.zoom(around, (side, side, 1), order=1, mode="nearest", grid_mode=True)
    return spread[side : side + height, side : side + width]


def _cells(values: "NDArray[np.generic]", side: int) -> "Levels":
    """(H, W, C) -> sums over squares of `side` pixels, the last ones smaller."""
    height, width, channels = values.shape
    rows, columns = ceil(height / side), ceil(width / side)
    padding = ((0, rows * side - height), (0, columns * side - width), (0, 0))
    padded = np.pad(values.astype(np.float32), padding)
    return padded.reshape(rows, side, columns, side, channels).sum((1, 3))
