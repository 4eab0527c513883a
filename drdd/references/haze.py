"""The reference for haze: x = (y - A) / t + A, with airlight A and transmission t by the dark channel.

He, Sun and Tang 2009, "Single image haze removal using dark channel prior"; the same 2010, "Guided image
filtering", which replaces the soft matting.
"""

from typing import TYPE_CHECKING

from drdd.references.deferred import ndimage, np
from drdd.references.levels import to_levels, to_pixels
from drdd.references.registry import reference

if TYPE_CHECKING:
    from drdd.pictures.pixels import Pixels
    from drdd.references.levels import Levels

PATCH = 15  # pixels, of the dark channel
BRIGHTEST = 0.001  # share of the dark channel's pixels whose mean is the airlight
KEPT = 0.9  # of the haze is removed: the paper's omega is 0.95, this is better on photographs
LEAST = 0.1  # transmission
RADIUS, SMOOTH = 60, 1e-3  # of the guided filter, pixels and squared levels
LUMA = (0.299, 0.587, 0.114)


@reference("haze", source="He, Sun and Tang 2009, with the guided filter (2010); SciPy")
def dark_channel(pixels: "Pixels") -> "Pixels":
    """Without haze, most patches have a pixel with a dark channel, so its brightness shows the haze."""
    hazy = to_levels(pixels)
    airlight = _airlight(hazy)
    transmission = 1 - KEPT * _dark(hazy / airlight)
    refined = _guided(hazy @ np.array(LUMA, np.float32), transmission)
    return to_pixels((hazy - airlight) / refined.clip(LEAST, 1)[..., None] + airlight)


def _dark(levels: "Levels") -> "Levels":
    """(H, W, 3) -> (H, W): the least of all channels in the patch around each pixel."""
    return ndimage.minimum_filter(levels.min(-1), PATCH, mode="nearest")


def _airlight(hazy: "Levels") -> "Levels":
    """(3,): the mean of the pixels whose dark channel is brightest; at least LEAST."""
    dark = _dark(hazy).ravel()
    count = max(1, int(BRIGHTEST * dark.size))
    brightest = np.argsort(dark, kind="stable")[-count:]
    return hazy.reshape(-1, 3)[brightest].mean(0).clip(LEAST)


def _guided(guide: "Levels", levels: "Levels") -> "Levels":
    """The guided filter (equations 5, 6 and 8 of its paper) of (H, W) by a guide (H, W)."""
    mean_guide, mean = _box(guide), _box(levels)
    covariance = _box(guide * levels) - mean_guide * mean
    slope = covariance / (_box(guide**2) - mean_guide**2 + SMOOTH)
    return _box(slope) * guide + _box(mean - slope * mean_guide)


def _box(levels: "Levels") -> "Levels":
    return ndimage.uniform_filter(levels, 2 * RADIUS + 1, mode="nearest")
