"""MS-SSIM: structural similarity at five scales (Wang, Simoncelli & Bovik, Asilomar 2003).

Window, constants and valid region are those of SSIM in fidelity.py. Each scale is the mean of 2 x 2
pixels of the previous one. The contrast of each scale and the luminance of the last are weighted by the
paper's exponents. RGB: the mean over channels. A negative contrast counts as 0, since its power is
undefined.

The version in torchmetrics includes the mirrored border at the last scale, which changes the result by
1e-3, and its two-dimensional windows cost 25 times as much.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from drdd.pictures.pixels import Pixels

EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
RADIUS = 5
SIDE = (2 * RADIUS + 1) * 2 ** (len(EXPONENTS) - 1)  # 176: the smallest scale holds one window
_WINDOW = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * 1.5**2))
_WINDOW /= _WINDOW.sum()
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

Planes = NDArray[np.float64]  # (H, W, C)


def ms_ssim(image: Pixels, target: Pixels) -> float:
    """MS-SSIM of two (H, W, C) uint8; 1 for identical pictures, NaN when a side has under SIDE pixels."""
    if min(target.shape[:2]) < SIDE:
        return float("nan")
    a, b = image.astype(np.float64), target.astype(np.float64)
    product = np.ones(a.shape[2])
    for scale, exponent in enumerate(EXPONENTS):
        luminance, contrast = _compared(a, b)
        last = scale == len(EXPONENTS) - 1
        here = (luminance * contrast if last else contrast).mean(axis=(0, 1))
        product *= np.maximum(here, 0) ** exponent
        a, b = _halved(a), _halved(b)
    return float(product.mean())


def _compared(a: Planes, b: Planes) -> tuple[Planes, Planes]:
    """The luminance and the contrast-structure term of SSIM at each valid position."""
    mean_a, mean_b = _mean(a), _mean(b)
    spread = _mean(a * a) - mean_a**2 + _mean(b * b) - mean_b**2
    shared = _mean(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    return luminance, (2 * shared + _C2) / (spread + _C2)


def _mean(x: Planes) -> Planes:
    for axis in (0, 1):
        x = correlate1d(x, _WINDOW, axis)
    return x[RADIUS:-RADIUS, RADIUS:-RADIUS]


def _halved(x: Planes) -> Planes:
    rows, columns = x.shape[0] // 2 * 2, x.shape[1] // 2 * 2
    x = x[:rows, :columns]
    halved: Planes = (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4
    return halved
