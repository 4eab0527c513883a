"""References for blur and for lost resolution."""

from typing import TYPE_CHECKING

from drdd.references.deferred import ndimage, np, restoration
from drdd.references.levels import to_levels, to_pixels
from drdd.references.registry import ENLARGED, reference

if TYPE_CHECKING:
    from drdd.pictures.pixels import Pixels

SIGMA = 1.5  # pixels, of the Gaussian that is undone
REGULARISATION = 0.02
MARGIN = 16  # pixels by which the picture is mirrored, because Wiener's filter sees a torus
RADIUS, AMOUNT = 3.0, 0.5  # of the unsharp masks


@reference(
    "gaussian_blur",
    "defocus_blur",
    "downsample",
    source="Wiener 1949; Hunt 1973, regularised by the Laplacian; scikit-image",
)
def wiener(pixels: "Pixels") -> "Pixels":
    """Undoes a small Gaussian blur, whatever the blur was.

    Down-sampled pictures come back by bicubic interpolation, so that is what the input itself is.
    """
    margin = ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))
    padded = np.pad(to_levels(pixels), margin, mode="symmetric")
    axis = np.exp(-(np.arange(-MARGIN, MARGIN + 1) ** 2) / (2 * SIGMA**2))
    kernel = np.outer(axis, axis) / axis.sum() ** 2
    channels = [
        restoration.wiener(padded[..., channel], kernel, REGULARISATION, clip=False)
        for channel in range(3)
    ]
    return to_pixels(np.stack(channels, -1)[MARGIN:-MARGIN, MARGIN:-MARGIN])


@reference("motion_blur", source="unsharp masking, Gonzalez and Woods, Digital Image Processing")
def unsharp_mask(pixels: "Pixels") -> "Pixels":
    """x + amount * (x - blurred x): it sharpens, and cannot undo a motion of unknown direction."""
    return _sharpened(pixels, RADIUS)


@reference(ENLARGED, source="unsharp masking, Gonzalez and Woods, Digital Image Processing")
def fine_unsharp_mask(pixels: "Pixels") -> "Pixels":
    """`unsharp_mask` of half the radius: what lost resolution takes from a picture is its finest detail."""
    return _sharpened(pixels, RADIUS / 2)


def _sharpened(pixels: "Pixels", radius: float) -> "Pixels":
    levels = to_levels(pixels)
    blurred = ndimage.gaussian_filter(levels, (radius, radius, 0))
    return to_pixels(levels + AMOUNT * (levels - blurred))
