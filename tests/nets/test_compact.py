"""The compact UNet for restoring: tone first, the context of the picture, and tiles that are exact."""

import pytest
import torch
from torch import Tensor, nn

from drdd.diffusion.keyed import keyed_generator
from drdd.nets.compact import CompactConfig
from drdd.nets.compact_unet import CompactUNet
from drdd.nets.context import context_of
from tests.nets.filled import filled

WIDTHS = (8, 16)
GENERATOR = keyed_generator("image and degraded picture")
IMAGE, DEGRADED = torch.rand(2, 2, 3, 8, 8, generator=GENERATOR)
TIME = torch.tensor([500.0, 1000.0])
CONTEXT = context_of(DEGRADED)


def _net(in_channels: int = 6, out_channels: int = 3, fill: bool = False) -> CompactUNet:
    config = CompactConfig(in_channels, out_channels, channels=WIDTHS).for_restoring()
    net = CompactUNet(config)
    if fill:
        filled(net)
    return net.eval()


def _both(image: Tensor, degraded: Tensor) -> Tensor:
    return torch.cat([image, degraded], dim=1)


def test_only_the_difference_to_the_degraded_picture_is_seen_of_an_image() -> None:
    net = _net(fill=True)
    out = net(_both(IMAGE, DEGRADED), TIME, CONTEXT)
    net.stem.weight.data.zero_()
    net.tone.map.weight.data.zero_()
    net.tone.map.bias.data.zero_()  # what else is there of the degraded picture
    blind = net(_both(IMAGE, DEGRADED), TIME, CONTEXT)
    moved = net(_both(IMAGE + 0.5, DEGRADED + 0.5), TIME, CONTEXT)
    other = net(_both(IMAGE + 0.5, DEGRADED), TIME, CONTEXT)
    torch.testing.assert_close(blind, moved, atol=1e-5, rtol=0)
    assert (blind - other).abs().max() > 0.01
    assert (out - blind).abs().max() > 0.01


@pytest.mark.parametrize("in_channels", [3, 6])
def test_a_fresh_one_restores_the_degraded_picture_itself(in_channels: int) -> None:
    x = _both(IMAGE, DEGRADED)[:, -in_channels:]
    assert not _net(in_channels)(x, TIME, CONTEXT).any()


def test_beside_an_image_it_begins_as_the_network_for_the_degraded_picture_alone() -> None:
    """So the residual net begins as regression does: nothing of I_in is lost to the noise on y."""
    both, one = _net(fill=True), _net(3)
    weights = both.state_dict()
    for name in ("beside.weight", "beside.bias"):
        weights.pop(name).zero_()
    one.load_state_dict(weights)
    told = both(_both(IMAGE, DEGRADED), TIME, CONTEXT)
    assert torch.equal(told, one(DEGRADED, TIME, CONTEXT))
    assert told.std() > 0.01


def test_tone_is_a_map_of_colours_that_the_context_chooses() -> None:
    net = _net(3, fill=True)
    for parameter in net.head.parameters():
        nn.init.zeros_(parameter)
    toned = DEGRADED - net(DEGRADED, TIME, CONTEXT)
    turned = DEGRADED.flip(-1) - net(DEGRADED.flip(-1), TIME, CONTEXT)
    torch.testing.assert_close(turned, toned.flip(-1))
    assert (toned - DEGRADED).abs().max() > 0.01
    assert (DEGRADED - net(DEGRADED, TIME, CONTEXT.flip(1)) - toned).abs().max() > 0.001
    r, g, b = DEGRADED.split(1, dim=1)
    terms = torch.cat([DEGRADED, DEGRADED**2, r * g, r * b, g * b, torch.ones_like(r)], dim=1)
    for one, into in zip(terms, toned, strict=True):  # 64 pixels, 10 unknowns of each channel
        solved = torch.linalg.lstsq(one.flatten(1).T, into.flatten(1).T)
        torch.testing.assert_close(
            one.flatten(1).T @ solved.solution, into.flatten(1).T, atol=1e-4, rtol=0
        )


def test_the_further_channels_know_nothing_of_tone() -> None:
    """The coupled baseline's second head predicts eps, which is silent in the beginning."""
    net = _net(out_channels=6)
    nn.init.ones_(net.tone.map.bias)
    out = net(_both(IMAGE, DEGRADED), TIME, CONTEXT)
    assert out[:, :3].abs().max() > 0.1
    assert not out[:, 3:].any()


def test_a_tile_with_a_halo_equals_the_whole() -> None:
    """Nothing is normalised over the picture, so a tile needs its surroundings and the context alone."""
    net = _net(3, fill=True).double()
    x = torch.rand(1, 3, 96, 160, generator=GENERATOR, dtype=torch.float64)
    time, context = TIME[:1].double(), context_of(x)
    whole = net(x, time, context)[..., 64:96]
    tile = net(x[..., 16:144], time, context)[..., 48:80]
    torch.testing.assert_close(tile, whole, atol=1e-9, rtol=0)
    assert (net(x[..., 60:100], time, context)[..., 4:36] - whole).abs().max() > 1e-6
