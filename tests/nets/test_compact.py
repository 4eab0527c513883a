"""The compact UNet that sees an image beside its condition as their difference."""

import torch

from drdd.diffusion.keyed import keyed_generator
from drdd.nets.compact import CompactConfig
from drdd.nets.compact_unet import CompactUNet
from tests.nets.filled import filled

WIDTHS = (8, 16)
GENERATOR = keyed_generator("image and condition")
IMAGE, CONDITION = torch.rand(2, 2, 3, 8, 8, generator=GENERATOR)
TIME = torch.tensor([500.0, 1000.0])


def test_only_the_difference_to_the_condition_is_seen_of_an_image() -> None:
    net = CompactUNet(CompactConfig(6, channels=WIDTHS, difference=True))
    filled(net)
    net.stem.weight.data.zero_()
    out = net(torch.cat([IMAGE, CONDITION], dim=1), TIME)
    moved = net(torch.cat([IMAGE + 0.5, CONDITION + 0.5], dim=1), TIME)
    other = net(torch.cat([IMAGE + 0.5, CONDITION], dim=1), TIME)
    torch.testing.assert_close(out, moved, atol=1e-5, rtol=0)
    assert (out - other).abs().max() > 0.01


def test_a_fresh_one_is_the_network_for_the_condition_alone() -> None:
    """So the residual net begins as regression does: nothing of I_in is lost to the noise on y."""
    torch.manual_seed(0)
    both = CompactUNet(CompactConfig(6, channels=WIDTHS, difference=True))
    torch.manual_seed(0)
    one = CompactUNet(CompactConfig(3, channels=WIDTHS))
    weights = both.state_dict()
    assert not weights.pop("difference.weight").any()
    assert all(torch.equal(weights[name], value) for name, value in one.state_dict().items())
    assert set(weights) == set(one.state_dict())
    for net in (both, one):  # a fresh head is silent, which would hide mistakes
        net.head.state_dict()["2.weight"].fill_(1)
    told = both(torch.cat([IMAGE, CONDITION], dim=1), TIME)
    assert torch.equal(told, one(CONDITION, TIME))
    assert told.std() > 0.01
