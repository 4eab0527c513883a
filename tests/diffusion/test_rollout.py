"""Training on the sampler's own states: which states they are, and that gradients and bf16 survive it."""

import pytest
import torch
from torch import Tensor

from drdd.diffusion.keyed import keyed_generator
from drdd.diffusion.process import diffuse_residual, residual_loss
from drdd.diffusion.rollout import rollout_loss
from drdd.diffusion.sampler import remove_residual
from drdd.diffusion.schedule import Schedule
from drdd.nets.compact import CompactConfig
from drdd.nets.compact_unet import CompactUNet
from tests.nets.filled import filled

SCHEDULE = Schedule.linear(0.15)


def _images(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Target, degraded and noise, (count, 3, 8, 8)."""
    generator = keyed_generator("rollout images")
    target, degraded = (torch.rand(count, 3, 8, 8, generator=generator) * 2 - 1 for _ in range(2))
    return target, degraded, torch.randn(count, 3, 8, 8, generator=generator)


def test_later_steps_are_trained_where_the_sampler_arrives_and_all_others_on_true_states() -> None:
    count = 3
    grid = SCHEDULE.residual_grid(count)
    t = torch.tensor([grid[0], grid[1], 123, grid[2], 0])
    target, degraded, noise = _images(len(t))
    net = filled(CompactUNet(CompactConfig(6, channels=(8, 16))))
    asked: list[Tensor] = []

    def recorded(x: Tensor, time: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            asked.append(x)
        return net(x, time)

    rollout_loss(recorded, SCHEDULE, target, degraded, t, noise, count)
    (states,) = (x[:, :3] for x in asked)
    with torch.no_grad():
        start = degraded + SCHEDULE.fixed_noise * noise
        reached = [y for y, _ in remove_residual(net, SCHEDULE, start, degraded, grid)]
    true = diffuse_residual(SCHEDULE, target, degraded, t, noise)
    expected = torch.stack([true[0], reached[0][1], true[2], reached[1][3], true[4]])
    torch.testing.assert_close(states, expected, atol=1e-5, rtol=0)
    assert (reached[0][1] - true[1]).abs().max() > 0.01  # else nothing was told apart


def test_a_net_that_knows_the_residual_reaches_the_true_states() -> None:
    t = torch.tensor([999, 499, 200])
    target, degraded, noise = _images(3)
    residual = degraded - target

    def right_then_silent(x: Tensor, time: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return torch.zeros_like(x[:, :3])
        # The rollout asks for the rows at t = 499 alone.
        return residual[1:2]

    silent = lambda x, time: torch.zeros_like(x[:, :3])  # noqa: E731
    torch.testing.assert_close(
        rollout_loss(right_then_silent, SCHEDULE, target, degraded, t, noise, 2),
        residual_loss(silent, SCHEDULE, target, degraded, t, noise),
    )


@pytest.mark.parametrize("bf16", [False, True])
def test_gradients_are_those_of_the_last_pass_alone(bf16: bool) -> None:
    """Also in bf16, where autocast may cache weights that it cast without a gradient."""
    t = torch.full((2,), SCHEDULE.residual_grid(2)[1])
    target, degraded, noise = _images(2)
    net = filled(CompactUNet(CompactConfig(6, channels=(8, 16))))

    def gradients(of: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(of.mean(), list(net.parameters())))

    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        rolled = gradients(rollout_loss(net, SCHEDULE, target, degraded, t, noise, 2))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        start = degraded + SCHEDULE.fixed_noise * noise
        state, _ = next(remove_residual(net, SCHEDULE, start, degraded, SCHEDULE.residual_grid(2)))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        time = torch.full((2,), SCHEDULE.a(int(t[0])) * SCHEDULE.steps)
        told = net(torch.cat([state, degraded], dim=1), time).float()
        direct = gradients((told - (degraded - target)).square().mean(dim=(1, 2, 3)))
    for one, other in zip(rolled, direct, strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=1e-4)
