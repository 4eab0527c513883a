"""The two changes of size in super-resolution: a target becomes a small input, which is enlarged again.

Networks see input and output at one size. So each small input is enlarged by `enlarged` first: in training,
evaluation and restoring alike.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BICUBIC = Image.Resampling.BICUBIC


def enlarged(pixels: NDArray[Any], scale: int) -> NDArray[Any]:
    """(H, W, 3) or (H, W) -> `scale` times higher and wider, of the same type; scale 1: as it is.

    Keys' bicubic convolution with a = -0.5, by Pillow; weights are normalised at the borders. For uint8,
    uint16, and floats in [0, 1]; results are clipped to the range of the type, and rounded.
    """
    height, width = pixels.shape[:2]
    return _resized(pixels, (height * scale, width * scale)) if scale > 1 else pixels


def reduced(pixels: NDArray[Any], scale: int) -> NDArray[Any]:
    """(H, W, 3) or (H, W) -> (H // scale, W // scale, ...), by the same kernel, widened against aliasing.

    Rows below and columns on the right that fill no whole pixel are left out first.
    """
    if scale == 1:
        return pixels
    whole = whole_pixels(pixels, scale)
    return _resized(whole, (whole.shape[0] // scale, whole.shape[1] // scale))


def whole_pixels(pixels: NDArray[Any], scale: int) -> NDArray[Any]:
    """Without the rows below and the columns on the right beyond a multiple of `scale`."""
    height, width = pixels.shape[:2]
    return pixels[: height - height % scale, : width - width % scale]


def _resized(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """size: (H', W')."""
    wide = size[::-1]
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(wide, BICUBIC))
    if pixels.ndim == 3:
        channels = [_resized(pixels[..., c], size) for c in range(pixels.shape[2])]
        return np.stack(channels, axis=2)
    levels = Image.fromarray(pixels.astype(np.float32)).resize(wide, BICUBIC)
    if pixels.dtype == np.float32:
        return np.asarray(levels).clip(0, 1)
    return np.asarray(levels).clip(0, np.iinfo(pixels.dtype).max).round().astype(pixels.dtype)
