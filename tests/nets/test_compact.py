"""The compact UNet that sees an image beside its condition as their difference."""

import torch
import torch.nn.functional as F
from torch import Tensor

from drdd.diffusion.keyed import keyed_generator
from drdd.nets.compact import CompactConfig, CompactUNet
from tests.nets.filled import filled

DIFFERENCE = CompactConfig(6, channels=(8, 16), difference=True)


def test_an_image_is_seen_as_its_difference_to_the_condition() -> None:
    net = CompactUNet(DIFFERENCE)
    seen: list[Tensor] = []
    net.stem.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    image, condition = torch.rand(2, 1, 3, 8, 8, generator=keyed_generator("seen"))
    net(torch.cat([image, condition], dim=1), torch.tensor([500.0]))
    difference, beside = F.pixel_shuffle(seen[0], 2).chunk(2, dim=1)
    assert torch.equal(difference, image - condition)
    assert torch.equal(beside, condition)


def test_a_fresh_one_begins_as_a_regression_on_the_condition() -> None:
    """Nothing of I_in is lost to the noise on y, until listening to y helps."""
    generator = keyed_generator("deaf")
    fresh = CompactUNet(DIFFERENCE).stem.weight.detach().clone()
    both, one = CompactUNet(DIFFERENCE), CompactUNet(CompactConfig(3, channels=(8, 16)))
    filled(both)
    filled(one)
    with torch.no_grad():
        both.stem.weight.copy_(fresh)
        one.stem.weight.copy_(fresh[:, 12:])
    condition = torch.rand(2, 3, 8, 8, generator=generator)
    noisy = condition + 0.15 * torch.randn(2, 3, 8, 8, generator=generator)
    time = torch.tensor([1000.0, 1000.0])
    expected = one(condition, time)
    assert expected.std() > 0.1
    torch.testing.assert_close(
        both(torch.cat([noisy, condition], dim=1), time), expected, atol=1e-5, rtol=0
    )
