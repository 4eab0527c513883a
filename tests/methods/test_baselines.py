"""The coupled process and plain regression against closed forms."""

import math

import pytest
import torch
from torch import Tensor

from drdd.diffusion.methods import TwoNetworks
from drdd.diffusion.schedule import Schedule
from drdd.methods.coupled import coupled_losses, coupled_noise, diffuse_coupled, sample_coupled
from drdd.methods.regression import regress, regression_loss

SCHEDULE = Schedule.linear(0.3)


def _images() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    target, degraded = torch.rand(2, 2, 3, 8, 8, generator=generator).mul(2).sub(1)
    return target, degraded, torch.randn(2, 3, 8, 8, generator=generator)


def test_the_coupled_process_starts_where_drdd_does_and_ends_clean() -> None:
    target, degraded, noise = _images()
    last = diffuse_coupled(SCHEDULE, target, degraded, torch.tensor([999, 999]), noise)
    torch.testing.assert_close(last, degraded + SCHEDULE.fixed_noise * noise)
    middle = diffuse_coupled(SCHEDULE, target, degraded, torch.tensor([400, 400]), noise)
    a, s = SCHEDULE.a(400), SCHEDULE.fixed_noise * SCHEDULE.b(400) / SCHEDULE.b(999)
    torch.testing.assert_close(middle, target + a * (degraded - target) + s * noise)
    assert float(coupled_noise(SCHEDULE)[0]) < 0.01


def test_coupled_losses_are_zero_for_the_truth_and_one_for_each_half() -> None:
    target, degraded, noise = _images()
    t = torch.tensor([10, 900])
    truth = lambda x, time: torch.cat([degraded - target, noise], dim=1)  # noqa: E731
    for loss in coupled_losses(truth, SCHEDULE, target, degraded, t, noise):
        assert float(loss.max()) < 1e-12
    silent = lambda x, time: torch.zeros(2, 6, 8, 8)  # noqa: E731
    of_residual, of_noise = coupled_losses(silent, SCHEDULE, target, degraded, t, noise)
    torch.testing.assert_close(of_residual, (degraded - target).square().mean(dim=(1, 2, 3)))
    torch.testing.assert_close(of_noise, noise.square().mean(dim=(1, 2, 3)))


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_coupled_network_that_knows_the_answer_restores_the_target(count: int) -> None:
    target, degraded, noise = _images()
    truth = lambda x, time: torch.cat([degraded - target, noise], dim=1)  # noqa: E731
    result = sample_coupled(truth, SCHEDULE, degraded, lambda purpose: noise, count)
    torch.testing.assert_close(result.output, target, atol=1e-5, rtol=0)
    assert len(result.states) == count + 1


def test_fresh_noise_keeps_the_level_of_the_state() -> None:
    """With the true residual and the ideal eps of a known picture, eta = 1 keeps the marginals."""
    generator = torch.Generator().manual_seed(0)
    target, degraded = torch.zeros(1, 3, 128, 128), torch.zeros(1, 3, 128, 128)
    states: list[Tensor] = []

    def net(x: Tensor, time: Tensor) -> Tensor:
        states.append(x[:, :3])
        t = int((SCHEDULE.residual_level - float(time[0]) / 1000).abs().argmin())
        return torch.cat([degraded - target, x[:, :3] / coupled_noise(SCHEDULE)[t]], dim=1)

    draw = lambda purpose: torch.randn(target.shape, generator=generator)  # noqa: E731
    sample_coupled(net, SCHEDULE, degraded, draw, 5, eta=1.0)
    for t, state in zip(SCHEDULE.residual_grid(5), states, strict=False):
        assert math.isclose(float(state.std()), float(coupled_noise(SCHEDULE)[t]), rel_tol=0.03)


def test_two_networks_are_one_with_two_heads() -> None:
    target, degraded, noise = _images()
    both = TwoNetworks(_Says(degraded - target), _Says(noise))
    result = sample_coupled(both, SCHEDULE, degraded, lambda purpose: noise, 3)
    torch.testing.assert_close(result.output, target, atol=1e-5, rtol=0)


class _Says(torch.nn.Module):
    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self._answer = answer

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self._answer


def test_regression_sees_the_degraded_image_alone() -> None:
    target, degraded, noise = _images()
    seen: list[Tensor] = []

    def net(x: Tensor, time: Tensor) -> Tensor:
        seen.append(x)
        return degraded - target

    loss = regression_loss(net, SCHEDULE, target, degraded, torch.tensor([5, 900]), noise)
    assert float(loss.max()) < 1e-12
    torch.testing.assert_close(regress(net, SCHEDULE, degraded).output, target)
    for x in seen:
        assert torch.equal(x, degraded)
