"""Light, colour and drawn lines, by closed forms and other implementations."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from skimage.feature import canny

from drdd.degradations import tone
from drdd.diffusion.keyed import keyed_generator
from tests.degradations.pictures import flat, noise, photograph


def test_low_light_is_gain_times_a_power() -> None:
    x = torch.linspace(0, 1, 3 * 64).view(1, 3, 8, 8)
    dark = tone.low_light(x, keyed_generator(0), gain=(0.3, 0.3), gamma=(1.2, 1.2), sigma=(0, 0))
    torch.testing.assert_close(dark, 0.3 * x**1.2)


def _faded(
    x: torch.Tensor, saturation: float, contrast: float, yellowing: float = 0.2
) -> torch.Tensor:
    return tone.fading(
        x,
        keyed_generator(0),
        saturation=(saturation, saturation),
        contrast=(contrast, contrast),
        yellowing=(yellowing, yellowing),
    )


def test_fading_keeps_its_shares_of_colour_and_contrast() -> None:
    x = noise()
    torch.testing.assert_close(_faded(x, 1, 1), x)
    torch.testing.assert_close(_faded(x, 0, 1), tone.luma(x).expand_as(x))
    lost = _faded(x, 1, 0.6) - _faded(flat(0.0, 64, 65), 1, 0.6)
    torch.testing.assert_close(lost, 0.6 * x)


def test_a_faded_print_tends_to_a_yellowish_veil() -> None:
    red, green, blue = _faded(noise(), 0.5, 0)[0, :, 0, 0].tolist()
    assert (red, green, blue) == pytest.approx((tone.VEIL, tone.VEIL - 0.1, tone.VEIL - 0.2))


def test_grey_is_pillows_luma() -> None:
    x = photograph()
    grey = tone.grey(x, keyed_generator(0))
    pixels = (x[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    expected = np.asarray(Image.fromarray(pixels).convert("L")).astype(np.float32) / 255
    for channel in grey[0]:
        np.testing.assert_allclose(channel.numpy(), expected, atol=1 / 255)


def _edges(x: torch.Tensor, sigma: float = 1.0, threshold: float = 0.03) -> torch.Tensor:
    return tone.edges(x, keyed_generator(0), sigma=(sigma, sigma), threshold=(threshold, threshold))


def test_a_picture_without_edges_is_a_white_sheet() -> None:
    assert bool((_edges(flat(0.3)) == 1).all())


def test_a_step_is_drawn_as_one_thin_dark_line() -> None:
    x = flat(0.2)
    x[..., 33:] = 0.8
    row = _edges(x)[0, 0, 20]
    assert row.argmin() in (32, 33)
    assert float(row.min()) < 0.05
    assert float((1 - row).sum()) < 4  # pixels of ink across the line
    assert bool((row[:28] == 1).all())
    assert bool((row[38:] == 1).all())


def test_lines_are_where_canny_finds_edges() -> None:
    x = photograph()
    ours = _edges(x)[0, 0].numpy() < 0.5
    luma = tone.luma(x)[0, 0].numpy()
    # At 0.5 a line is at 1.5 times its threshold; skimage's gradient is 8 times as long.
    theirs = canny(luma, sigma=1, low_threshold=8 * 0.045, high_threshold=8 * 0.045)
    near = ndimage.binary_dilation(ours, iterations=2)
    assert near[theirs].mean() > 0.9
    assert ours.mean() < 0.3
