"""JPEG against Pillow's own encoder and decoder."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from drdd.degradations.jpeg import CHROMINANCE, LUMINANCE, jpeg, table
from drdd.diffusion.keyed import keyed_generator
from tests.degradations.pictures import noise, photograph


def _pixels(x: Tensor) -> np.ndarray:
    return (x[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


def _file(x: Tensor, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    Image.fromarray(_pixels(x)).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return Image.open(buffer)


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(np.mean((a.astype(float) - b) ** 2), 1e-9)))


def _ours(x: Tensor, quality: int) -> np.ndarray:
    return _pixels(jpeg(x, keyed_generator(0), quality=(quality, quality)))


@pytest.mark.parametrize("quality", [1, 5, 10, 30, 50, 75, 95, 100])
@pytest.mark.parametrize("size", [(128, 160), (64, 65), (43, 77)])
def test_it_loses_what_pillow_loses(quality: int, size: tuple[int, int]) -> None:
    x = photograph(*size)
    theirs = np.asarray(_file(x, quality))
    assert _psnr(_ours(x, quality), theirs) > 40
    assert _psnr(_ours(x, quality), theirs) > _psnr(_pixels(x), theirs) + 6  # than no loss


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 51, 90, 100])
def test_the_tables_are_those_of_pillows_file(quality: int) -> None:
    written = _file(noise(), quality).quantization  # type: ignore[attr-defined]
    for position, base in enumerate((LUMINANCE, CHROMINANCE)):
        ours = table(base, torch.full((1, 1, 1, 1), float(quality)))[0, 0]
        theirs = np.array(written[position]).reshape(8, 8)
        assert np.array_equal(ours.numpy(), theirs)


def _blockiness(pixels: np.ndarray) -> float:
    """Steps across block borders over the steps beside them."""
    steps = np.abs(np.diff(pixels.astype(float), axis=1)).mean((0, 2))
    return float(steps[7::8].mean() / steps[3::8].mean())


def test_low_quality_is_blocky_as_pillows_is() -> None:
    x = photograph()
    ours, theirs = _ours(x, 5), np.asarray(_file(x, 5))
    assert _blockiness(ours) > 2 * _blockiness(_pixels(x))
    assert _blockiness(ours) == pytest.approx(_blockiness(theirs), rel=0.05)


def test_each_image_of_a_batch_has_its_own_quality() -> None:
    x = photograph(64, 64).repeat(8, 1, 1, 1)
    degraded = jpeg(x, keyed_generator(1), quality=(5, 95))
    errors = [float((one - x[0]).square().mean()) for one in degraded]
    assert max(errors) > 2 * min(errors)
    alone = {quality: _ours(x[:1], quality).tobytes() for quality in range(5, 96)}
    assert all(_pixels(one[None]).tobytes() in alone.values() for one in degraded)
