"""References for light and colour."""

from typing import TYPE_CHECKING

from drdd.references.deferred import np
from drdd.references.levels import to_levels, to_pixels
from drdd.references.registry import reference

if TYPE_CHECKING:
    from drdd.pictures.pixels import Pixels

OUTLIERS = 0.1  # percent of the values at either end that are clipped
LEAST = 1 / 255  # that is stretched: else a picture of one grey would become its noise


@reference("low_light", source="contrast stretching, Gonzalez and Woods, Digital Image Processing")
def percentile_stretch(pixels: "Pixels") -> "Pixels":
    """The values of all channels, from one percentile to another, spread over the whole range."""
    levels = to_levels(pixels)
    low, high = np.percentile(levels, (OUTLIERS, 100 - OUTLIERS)).astype(np.float32)
    return to_pixels((levels - low) / max(high - low, LEAST))


@reference("fading", source="ImageMagick, -channel RGB -auto-level")
def channel_stretch(pixels: "Pixels") -> "Pixels":
    """The values of each channel, from the least to the largest, spread over the whole range."""
    levels = to_levels(pixels)
    low, high = levels.min((0, 1)), levels.max((0, 1))
    return to_pixels((levels - low) / np.maximum(high - low, LEAST))
