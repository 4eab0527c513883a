"""NIQE: the distance of a picture's local statistics from those of good photographs, without a target.

Mittal, Soundararajan & Bovik, IEEE Signal Process. Lett. 20(3), 2013. Computed as in
restoration papers (BasicSR): luma rounded to integers, all non-overlapping blocks of 96 x 96 at two scales.
The statistics of good photographs (niqe.csv) are those published by the authors of the method.

Planes are in single precision, which is part of the definition: in flat areas, luma minus its mean is then
exactly 0, and neither side of a fitted distribution counts it. In double precision, rounding in the window
leaves values of 1e-14, which count as texture and change the result by up to 0.2.
"""

from functools import cache
from importlib.resources import files

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate
from scipy.special import gamma
from torch import Tensor

from drdd.metrics.fidelity import luma
from drdd.pictures.pixels import Pixels

BLOCK = 96
REACH = 3  # radius in pixels of the halving kernel
SIDE = 2 * BLOCK  # with fewer than two blocks on a side, a covariance means little
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
_BELL = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
_WINDOW = np.outer(_BELL, _BELL) / np.outer(_BELL, _BELL).sum()
_SHAPES = np.arange(200, 10_001) / 1000  # shapes of generalised Gaussians
_RATIOS = gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))

Plane = NDArray[np.float32]  # (H, W) in [0, 255]
Array = NDArray[np.float64]


def niqe(image: Pixels, crop_border: int = 0) -> float:
    """NIQE of (H, W, 3) uint8; lower is better. NaN when a side has under SIDE pixels."""
    kept = slice(crop_border, -crop_border or None)
    plane = _luma(image[kept, kept]).round()
    rows, columns = (side // BLOCK for side in plane.shape)
    if min(plane.shape) < SIDE:
        return float("nan")
    plane = plane[: rows * BLOCK, : columns * BLOCK]
    features = np.hstack([_features(plane, BLOCK), _features(_halved(plane), BLOCK // 2)])
    mean, covariance = _of_photographs()
    whole = features[~np.isnan(features).any(axis=1)]
    if len(whole) < 2:  # such as a picture of one colour
        return float("nan")
    difference = mean - np.nanmean(features, axis=0)
    spread = (covariance + np.cov(whole, rowvar=False)) / 2
    return float(np.sqrt(difference @ np.linalg.pinv(spread) @ difference))


def _luma(image: Pixels) -> Plane:
    """fidelity.luma in single precision, which determines how values near .5 are rounded."""
    shares = (image / np.float32(255)).astype(np.float64)
    return (luma(255 * shares) / 255).astype(np.float32) * np.float32(255)


def _normalised(plane: Plane) -> Plane:
    """(x - local mean) / (local standard deviation + 1) of each pixel."""
    mean = correlate(plane, _WINDOW, mode="nearest")
    variance = correlate(plane**2, _WINDOW, mode="nearest") - mean**2
    normal: Plane = (plane - mean) / (np.sqrt(np.abs(variance)) + 1)
    return normal


def _features(plane: Plane, side: int) -> Array:
    """(blocks, 18):

    shapes and widths of the normalised luma and of products of neighbours in each block.
    """
    normal = _normalised(plane)
    blocks = [
        normal[top : top + side, left : left + side]
        for top in range(0, plane.shape[0], side)
        for left in range(0, plane.shape[1], side)
    ]
    return np.array([_of_block(block) for block in blocks])


def _of_block(block: Plane) -> list[float]:
    shape, left, right = _asymmetric_gaussian(block)
    found = [shape, (left + right) / 2]
    for shift in _SHIFTS:
        shape, left, right = _asymmetric_gaussian(block * np.roll(block, shift, axis=(0, 1)))
        mean = (right - left) * gamma(2 / shape) / gamma(1 / shape)
        found += [shape, mean, left, right]
    return found


def _asymmetric_gaussian(x: Plane) -> tuple[float, float, float]:
    """Shape and the two widths of the asymmetric generalised Gaussian that fits x, by its moments."""
    with np.errstate(divide="ignore", invalid="ignore"):
        left, right = (
            np.sqrt(np.mean(x[side] ** 2)) if side.any() else np.nan for side in (x < 0, x > 0)
        )
        ratio = left / right
        wanted = np.mean(np.abs(x)) ** 2 / np.mean(x**2)
    wanted *= (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    if np.isnan(wanted):
        return np.nan, np.nan, np.nan
    at = int(np.argmin((_RATIOS - wanted) ** 2))
    shape = float(_SHAPES[at])
    scale = float(np.sqrt(gamma(1 / shape) / gamma(3 / shape)))
    return shape, float(left) * scale, float(right) * scale


def _halved(plane: Plane) -> Plane:
    """Halve the size with MATLAB's antialiased bicubic kernel, borders mirrored.

    Each row, then each column, is a product of a matrix and a vector, as in BasicSR. On smooth slopes, luma
    minus its mean is only rounding error, so another order of summation changes the result by up to 0.05.
    """
    pixels = _mirrored(torch.from_numpy(plane) / 255, 0)
    rows = torch.stack([taps.mv(_BICUBIC) for taps in pixels.unfold(0, len(_BICUBIC), 2)])
    columns = _mirrored(rows, 1).unfold(1, len(_BICUBIC), 2).unbind(1)
    return (torch.stack([taps.mv(_BICUBIC) for taps in columns], dim=1) * 255).numpy()


def _mirrored(pixels: Tensor, axis: int) -> Tensor:
    first, last = pixels.narrow(axis, 0, REACH), pixels.narrow(axis, -REACH, REACH)
    return torch.cat([first.flip(axis), pixels, last.flip(axis)], dim=axis)


def _bicubic() -> Tensor:
    distance = (torch.arange(-REACH, REACH + 2) - 0.5).abs() / 2
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = torch.where(distance <= 1, near, far)
    return weights / weights.sum()


_BICUBIC = _bicubic()


@cache
def _of_photographs() -> tuple[Array, Array]:
    with (files("drdd.metrics") / "niqe.csv").open() as file:
        table = np.loadtxt(file, delimiter=",")
    return table[0], table[1:]
