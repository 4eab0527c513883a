"""References for rain and snow, by grey opening: it removes what is bright and narrower than its window."""

from typing import TYPE_CHECKING

from drdd.references.deferred import ndimage, np
from drdd.references.levels import to_levels, to_pixels
from drdd.references.registry import reference

if TYPE_CHECKING:
    from drdd.pictures.pixels import Pixels

STREAK = (1, 7, 1)  # pixels: across streaks that fall
FLAKE = (9, 9, 1)
MOST = 0.98  # opacity of a flake that is looked through


@reference("rain", source="Serra 1982, grey opening; SciPy")
def opening(pixels: "Pixels") -> "Pixels":
    """The opening along rows, which is nowhere brighter than the picture."""
    return ndimage.grey_opening(pixels, size=STREAK)


@reference(
    "snow", source="Serra 1982, grey opening, as the clear picture of y = x + v (1 - x); SciPy"
)
def veil_by_opening(pixels: "Pixels") -> "Pixels":
    """Flakes cover all channels alike: the veil is the least that any channel exceeds its opening by."""
    snowy = to_levels(pixels)
    clear = ndimage.grey_opening(snowy, size=FLAKE)
    veil = ((snowy - clear) / np.maximum(1 - clear, 1 / 255)).min(-1, keepdims=True).clip(0, MOST)
    return to_pixels((snowy - veil) / (1 - veil))
