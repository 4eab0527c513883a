"""The context of a picture, against closed forms."""

import math
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from drdd.diffusion.keyed import keyed_generator
from drdd.nets.context import CHANNELS, SIDE, context_of
from drdd.pictures.tensors import to_tensor

GENERATOR = keyed_generator("context")


def test_a_flat_picture_is_its_colour_without_spread() -> None:
    colour = torch.tensor([-0.5, 0.25, 1.0]).view(1, 3, 1, 1)
    context = context_of(colour.expand(1, 3, 100, 70))
    for channels in (context[:, :3], context[:, 6:9], context[:, 9:12]):
        torch.testing.assert_close(channels, colour.expand(1, 3, SIDE, SIDE))
    torch.testing.assert_close(context[:, 3:6], torch.zeros(1, 3, SIDE, SIDE), atol=1e-3, rtol=0)


def test_the_spread_of_white_noise_is_its_deviation_times_root_eight_ninths() -> None:
    """A pixel less the mean of itself and its 8 neighbours has a variance of 1 - 2/9 + 1/9."""
    noise = 0.2 * torch.randn(1, 3, 512, 512, generator=GENERATOR)
    spread = context_of(noise)[:, 3:6].square().mean().sqrt()
    assert float(spread) == pytest.approx(0.2 * math.sqrt(8 / 9), rel=0.01)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (31, 7), (64, 64), (100, 333)])
def test_any_size_has_one(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size, generator=GENERATOR) * 2 - 1
    context = context_of(x)
    assert context.shape == (2, CHANNELS, SIDE, SIDE)
    assert context.isfinite().all()
    assert context[:, :12].abs().max() <= 2


def test_it_turns_with_the_picture() -> None:
    x = torch.rand(1, 3, 96, 72, generator=GENERATOR)  # in whole blocks
    torch.testing.assert_close(context_of(x.flip(-1)), context_of(x).flip(-1))
    turned = torch.rot90(x, 1, (-2, -1))
    torch.testing.assert_close(context_of(turned), torch.rot90(context_of(x), 1, (-2, -1)))


def test_a_cell_has_its_darkest_and_its_brightest_value() -> None:
    x = torch.rand(1, 3, 2 * SIDE, 3 * SIDE, generator=GENERATOR)
    cells = x.unfold(2, 2, 2).unfold(3, 3, 3).flatten(4)
    assert torch.equal(
        context_of(x)[:, 6:12], torch.cat([cells.amin(dim=4), cells.amax(dim=4)], dim=1)
    )


def test_cells_say_where_it_is_dark() -> None:
    x = torch.ones(1, 3, 64, 64)
    x[..., :32] = -1
    means = context_of(x)[:, :3]
    assert means[..., : SIDE // 2].eq(-1).all()
    assert means[..., SIDE // 2 :].eq(1).all()


def test_blocks_of_jpeg_show_and_nothing_else_does() -> None:
    """Blocks of one colour step at their borders alone; noise and ramps step everywhere alike."""
    noise = torch.rand(1, 3, 256, 192, generator=GENERATOR) * 2 - 1
    ramp = torch.linspace(-1, 1, 192).expand(1, 3, 256, 192)
    for without in (0.03 * noise, ramp, torch.zeros(1, 3, 256, 192)):
        assert context_of(without)[:, 12].abs().max() < 0.05
    blocks = noise[..., ::8, ::8].repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)
    shown = [float(context_of(0.05 * (blocks * share))[0, 12, 0, 0]) for share in (0.1, 0.3, 1.0)]
    assert 1 < shown[0] < shown[1] < shown[2]


@pytest.mark.parametrize("quality", [10, 50])
def test_fog_is_told_from_fog_stored_as_jpeg(quality: int) -> None:
    """Noise of a low contrast stands for fog, whose blocks a person does not see."""
    fog = 200 + 6 * np.random.default_rng(0).standard_normal((256, 256, 3)).cumsum(1).clip(-4, 4)
    stored = BytesIO()
    Image.fromarray(fog.astype(np.uint8)).save(stored, "JPEG", quality=quality)
    pictures = fog.astype(np.uint8), np.asarray(Image.open(stored))
    clean, coded = (float(context_of(to_tensor(each)[None])[0, 12, 0, 0]) for each in pictures)
    assert abs(clean) < 0.05 < coded
