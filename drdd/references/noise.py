"""References for noise."""

from typing import TYPE_CHECKING

from drdd.references.deferred import ndimage, np, restoration
from drdd.references.levels import to_levels, to_pixels
from drdd.references.registry import reference

if TYPE_CHECKING:
    from drdd.pictures.pixels import Pixels
    from drdd.references.levels import Levels

PATCH, DISTANCE = 5, 6  # pixels: side of the patches, and how far away they are sought
CUT_OFF = 0.6  # of patches' distances, in standard deviations of the noise


@reference("gaussian_noise", source="Buades, Coll and Morel 2005; scikit-image, fast mode")
def non_local_means(pixels: "Pixels") -> "Pixels":
    """Each pixel becomes the mean of those whose patches look like its own."""
    return to_pixels(_denoised(to_levels(pixels)))


@reference(
    "poisson_noise",
    "speckle",
    source="Bartlett 1936, square root; Buades, Coll and Morel 2005; scikit-image, fast mode",
)
def non_local_means_of_roots(pixels: "Pixels") -> "Pixels":
    """Non-local means of the square roots, where noise that grows with brightness is more even."""
    return to_pixels(_denoised(np.sqrt(to_levels(pixels))) ** 2)


@reference("salt_and_pepper", source="Tukey 1977; Hwang and Haddad 1995, at extreme values; SciPy")
def median(pixels: "Pixels") -> "Pixels":
    """Black and white pixels become the median of 3 x 3; the others stay."""
    extreme = (pixels == 0).all(-1) | (pixels == 255).all(-1)
    return np.where(extreme[..., None], ndimage.median_filter(pixels, size=(3, 3, 1)), pixels)


def noise_level(levels: "Levels") -> float:
    """The standard deviation of the noise: median of |Haar's diagonal details| / 0.6745.

    Donoho and Johnstone 1994, "Ideal spatial adaptation by wavelet shrinkage". 0 for a picture smaller than
    2 x 2 pixels.
    """
    height, width = (side // 2 * 2 for side in levels.shape[:2])
    even = levels[:height, :width]
    details = even[::2, ::2] - even[1::2, ::2] - even[::2, 1::2] + even[1::2, 1::2]
    return float(np.median(np.abs(details)) / 2 / 0.6745) if details.size else 0.0


def _denoised(levels: "Levels") -> "Levels":
    sigma = noise_level(levels)
    if sigma == 0:
        return levels
    return restoration.denoise_nl_means(
        levels,
        patch_size=PATCH,
        patch_distance=DISTANCE,
        h=CUT_OFF * sigma,
        sigma=sigma,
        channel_axis=-1,
    )
