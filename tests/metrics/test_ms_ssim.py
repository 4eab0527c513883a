"""MS-SSIM against torchmetrics' own, on one channel, where the two say the same."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from drdd.metrics.fidelity import Pixels
from drdd.metrics.ms_ssim import SIDE, ms_ssim


def _noisy(picture: Pixels, sigma: float) -> Pixels:
    noise = np.random.default_rng(0).normal(0, sigma, picture.shape)
    return (picture + noise).clip(0, 255).astype(np.uint8)


def _with_convolutions(image: Pixels, target: Pixels) -> float:
    """The paper's formula in torch, windows in two dimensions."""
    bell = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / (2 * 1.5**2))
    window = (torch.outer(bell, bell) / bell.sum() ** 2)[None, None]
    x, y = (torch.from_numpy(p).permute(2, 0, 1)[:, None].double() for p in (image, target))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    product = torch.ones(len(x), dtype=torch.float64)
    for scale, exponent in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        mx, my, xx, yy, xy = (F.conv2d(p, window) for p in (x, y, x * x, y * y, x * y))
        found = (2 * (xy - mx * my) + c2) / (xx - mx**2 + yy - my**2 + c2)
        if scale == 4:
            found = found * (2 * mx * my + c1) / (mx**2 + my**2 + c1)
        product *= found.mean(dim=(1, 2, 3)).clamp(min=0) ** exponent
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return float(product.mean())


@pytest.mark.parametrize("sigma", [5, 40])
def test_it_is_the_papers(sigma: float) -> None:
    picture = data.chelsea()[:193, :257]
    noisy = _noisy(picture, sigma)
    assert ms_ssim(noisy, picture) == pytest.approx(_with_convolutions(noisy, picture), abs=1e-9)


@pytest.mark.parametrize("sigma", [5, 40])
def test_it_is_torchmetrics_of_one_channel(sigma: float) -> None:
    picture = data.chelsea()[:192, :256, :1]
    noisy = _noisy(picture, sigma)
    a, b = (torch.from_numpy(x).permute(2, 0, 1)[None].double() for x in (noisy, picture))
    theirs = float(multiscale_structural_similarity_index_measure(a, b, data_range=255.0))
    # Theirs counts the mirrored border at the last scale.
    assert ms_ssim(noisy, picture) == pytest.approx(theirs, abs=1e-3)


def test_rgb_is_the_mean_of_channels() -> None:
    picture = data.chelsea()[:180, :200]
    noisy = _noisy(picture, 20)
    alone = [ms_ssim(noisy[..., [c]], picture[..., [c]]) for c in range(3)]
    assert ms_ssim(noisy, picture) == pytest.approx(np.mean(alone))
    assert ms_ssim(picture, picture) == 1.0
    assert ms_ssim(_noisy(picture, 60), picture) < ms_ssim(noisy, picture) < 1


def test_a_picture_too_small_for_five_scales_has_none() -> None:
    small = np.zeros((SIDE - 1, 400, 3), np.uint8)
    assert np.isnan(ms_ssim(small, small))
    assert ms_ssim(np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((SIDE, SIDE, 3), np.uint8)) == 1.0
