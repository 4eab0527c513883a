"""Lost resolution against Pillow's resampling."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from drdd.degradations.resampling import downsample
from drdd.diffusion.keyed import keyed_generator
from tests.degradations.pictures import flat, noise, photograph

METHODS = {
    "area": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def _down(x: Tensor, factor: float, *methods: str) -> Tensor:
    return downsample(x, keyed_generator(0), factor=(factor, factor), methods=methods)


def _resized(channel: np.ndarray, size: tuple[int, int], method: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(channel).resize(size[::-1], method))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_smaller_and_back_is_pillows(method: str, factor: int) -> None:
    """The way back is bicubic with a = -0.75, Pillow's with a = -0.5: so it is compared by torch."""
    x = photograph()
    height, width = x.shape[-2:]
    small = np.stack(
        [_resized(c.numpy(), (height // factor, width // factor), METHODS[method]) for c in x[0]]
    )
    back = torch.nn.functional.interpolate(
        torch.from_numpy(small)[None], (height, width), mode="bicubic", align_corners=False
    ).clamp(0, 1)
    torch.testing.assert_close(_down(x, factor, method), back, atol=2e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_a_factor_of_one_changes_nothing(method: str) -> None:
    x = noise()
    torch.testing.assert_close(_down(x, 1, method), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [2.5, 7.0, 16.0])
def test_a_flat_picture_stays_flat_at_any_factor(method: str, factor: float) -> None:
    x = flat(0.3, 65, 11)
    torch.testing.assert_close(_down(x, factor, method), x, atol=1e-5, rtol=0)


def test_every_method_is_drawn_and_no_other() -> None:
    x = photograph(32, 32)
    alone = [_down(x, 3, method)[0] for method in METHODS]
    batch = _down(x.repeat(60, 1, 1, 1), 3, *METHODS)
    counts = [sum(torch.equal(image, one) for image in batch) for one in alone]
    assert sum(counts) == 60
    assert min(counts) >= 8
