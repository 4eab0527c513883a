"""PSNR and SSIM against closed forms, scikit-image, and a second implementation of their own."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio

from drdd.metrics.fidelity import (
    PSNR_CAP,
    check_pair,
    luma,
    psnr_rgb,
    psnr_y,
    ssim_rgb,
    ssim_y,
)
from drdd.pictures.pixels import Pixels


def _pair(noise: float = 20.0) -> tuple[Pixels, Pixels]:
    generator = np.random.default_rng(0)
    smooth = np.kron(generator.integers(0, 256, (8, 10, 3)), np.ones((6, 6, 1)))
    noisy = smooth + generator.normal(0, noise, smooth.shape)
    return noisy.round().clip(0, 255).astype(np.uint8), smooth.astype(np.uint8)


def _slow_ssim(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Wang et al. 2004, window by window, for one channel."""
    axis = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / np.outer(axis, axis).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for top in range(a.shape[0] - 10):
        for left in range(a.shape[1] - 10):
            x, y = (p[top : top + 11, left : left + 11] for p in (a, b))
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            cov = (window * (x - mx) * (y - my)).sum()
            top_, bottom = (
                (2 * mx * my + c1) * (2 * cov + c2),
                (mx**2 + my**2 + c1) * (vx + vy + c2),
            )
            values.append(top_ / bottom)
    return float(np.mean(values))


def test_ssim_is_the_papers() -> None:
    a, b = _pair()
    channels = [_slow_ssim(a[..., c].astype(float), b[..., c].astype(float)) for c in range(3)]
    assert ssim_rgb(a, b) == pytest.approx(np.mean(channels), abs=1e-7)
    y = [luma(p.astype(float)) for p in (a, b)]
    assert ssim_y(a, b) == pytest.approx(_slow_ssim(*y), abs=1e-7)


def test_psnr_is_its_formula_and_scikit_images() -> None:
    target = np.full((20, 20, 3), 100, np.uint8)
    assert psnr_rgb(target + np.uint8(5), target) == pytest.approx(20 * math.log10(255 / 5))
    a, b = _pair()
    assert psnr_rgb(a, b) == pytest.approx(peak_signal_noise_ratio(b, a))


def test_luma_is_bt601_in_its_limited_range() -> None:
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], float)
    np.testing.assert_allclose(luma(colours)[0], [16, 235, 81.481, 144.553, 40.966], atol=1e-9)


def test_scores_are_symmetric_and_identical_pictures_are_perfect() -> None:
    a, b = _pair()
    for score in (psnr_rgb, psnr_y, ssim_rgb, ssim_y):
        assert score(a, b) == pytest.approx(score(b, a))
    assert (psnr_rgb(a, a), psnr_y(a, a)) == (PSNR_CAP, PSNR_CAP)
    assert ssim_rgb(a, a) == pytest.approx(1)


def test_what_cannot_be_compared_is_refused() -> None:
    a, b = _pair()
    with pytest.raises(ValueError, match="one size"):
        check_pair(a, b[:-1])
    with pytest.raises(ValueError, match="uint8"):
        check_pair(a.astype(np.float32), b)
    with pytest.raises(ValueError, match="under 11"):
        check_pair(a[:12], b[:12], crop_border=2)
