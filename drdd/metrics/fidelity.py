"""PSNR and SSIM, in RGB and on the Y channel, by the convention of restoration papers (BasicSR).

- uint8 pictures, range 255, after cropping the border.
- Y: BT.601 luma in [16, 235] as MATLAB's rgb2ycbcr gives it, not rounded.
- SSIM: Gaussian window 11 x 11, sigma 1.5, valid region only, K1 = 0.01, K2 = 0.03, population
  covariance; in RGB the mean over channels. Wang et al., IEEE TIP 13(4), 2004.
- PSNR of identical pictures is infinite; it is reported as PSNR_CAP, so that means stay finite.
"""

import numpy as np
from numpy.typing import NDArray

from drdd.pictures.pixels import Pixels

PSNR_CAP = 100.0

PROTOCOL = {
    "pixels": "uint8, range 255, at the full size of the held-out picture",
    "rgb": "PSNR from the mean squared error over all channels; SSIM as the mean over channels",
    "y": "BT.601 luma in [16, 235] (MATLAB rgb2ycbcr), not rounded",
    "ssim": "Gaussian window 11 x 11, sigma 1.5, valid region, K1 0.01, K2 0.03",
    "psnr_cap_db": PSNR_CAP,
}

_LUMA = np.array([65.481, 128.553, 24.966]) / 255
_SIDE = 11


def psnr_rgb(image: Pixels, target: Pixels) -> float:
    """PSNR of two (H, W, 3) uint8 pictures, in dB; higher is better."""
    return psnr(_floats(image), _floats(target))


def psnr_y(image: Pixels, target: Pixels) -> float:
    return psnr(luma(_floats(image)), luma(_floats(target)))


def ssim_rgb(image: Pixels, target: Pixels) -> float:
    """SSIM of two (H, W, 3) uint8 pictures, sides of at least 11; in [-1, 1], 1 if identical."""
    return ssim(_floats(image), _floats(target))


def ssim_y(image: Pixels, target: Pixels) -> float:
    return ssim(luma(_floats(image)), luma(_floats(target)))


def check_pair(image: Pixels, target: Pixels, crop_border: int = 0) -> None:
    """Raises ValueError when two pictures cannot be compared after cropping `crop_border` pixels."""
    if image.shape != target.shape or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"need two (H, W, 3) pictures of one size: {image.shape}, {target.shape}")
    if image.dtype != np.uint8 or target.dtype != np.uint8:
        raise ValueError(f"need uint8 pictures, not {image.dtype} and {target.dtype}")
    if min(image.shape[:2]) - 2 * crop_border < _SIDE:
        raise ValueError(
            f"{image.shape[:2]} less a border of {crop_border} is under {_SIDE} pixels"
        )


def luma(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, W, 3) in [0, 255] -> (H, W) in [16, 235]."""
    weighted: NDArray[np.float64] = rgb @ _LUMA + 16.0
    return weighted


def psnr(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """10 log10(255^2 / MSE), in dB, at most PSNR_CAP."""
    mse = float(np.mean((a - b) ** 2))
    return PSNR_CAP if mse == 0 else min(PSNR_CAP, float(10 * np.log10(255**2 / mse)))


def ssim(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Mean structural similarity of (H, W) or (H, W, C) in [0, 255], over the valid region."""
    from skimage.metrics import (
        structural_similarity,
    )  # takes a second, which showing numbers need not wait for

    _, similarity = structural_similarity(
        a,
        b,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=-1 if a.ndim == 3 else None,
        full=True,
    )
    inside = slice(_SIDE // 2, -(_SIDE // 2))
    return float(similarity[inside, inside].mean())


def _floats(picture: Pixels) -> NDArray[np.float64]:
    return picture.astype(np.float64)
