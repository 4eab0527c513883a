"""The coupled process and plain regression against closed forms."""

import math

import pytest
import torch
from torch import Tensor

from drdd.diffusion.keyed import Draw
from drdd.diffusion.process import Net
from drdd.diffusion.schedule import Schedule
from drdd.methods import find
from drdd.methods.coupled import TwoNetworks, coupled_errors, coupled_noise, diffuse_coupled
from drdd.methods.method import Batch, Objective
from drdd.methods.regression import Implementation as Regression
from tests.nets.tiny import sampling

SCHEDULE = Schedule.linear(0.3)


def _walked(
    net: Net, degraded: Tensor, draw: Draw, count: int, eta: float = 0.0, name: str = "coupled"
) -> list[Tensor]:
    """Every state of a baseline that takes `count` steps; a coupled one adds up those of both parts."""
    changes = {"noise_level": 0.3, "residual_steps": 1, "noise_steps": count - 1, "eta": eta}
    method = find(name)(sampling(method=name, **changes))
    return [state.image for state in method.trajectory({"residual": net}, degraded, draw)]


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


def test_coupled_errors_are_zero_for_the_truth_and_all_of_it_for_silence() -> None:
    target, degraded, noise = _images()
    t = torch.tensor([10, 900])
    truth = lambda x, time: torch.cat([degraded - target, noise], dim=1)  # noqa: E731
    for error in coupled_errors(truth, SCHEDULE, target, degraded, t, noise):
        assert float(error.abs().max()) < 1e-6
    silent = lambda x, time: torch.zeros(2, 6, 8, 8)  # noqa: E731
    of_residual, of_noise = coupled_errors(silent, SCHEDULE, target, degraded, t, noise)
    torch.testing.assert_close(of_residual, target - degraded)
    torch.testing.assert_close(of_noise, -noise)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_a_coupled_network_that_knows_the_answer_restores_the_target(count: int) -> None:
    target, degraded, noise = _images()
    truth = lambda x, time: torch.cat([degraded - target, noise], dim=1)  # noqa: E731
    states = _walked(truth, degraded, lambda purpose: noise, count)
    torch.testing.assert_close(states[-1], target, atol=1e-5, rtol=0)
    assert len(states) == count + 1


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
    _walked(net, degraded, draw, 5, eta=1.0)
    for t, state in zip(SCHEDULE.residual_grid(5), states, strict=False):
        assert math.isclose(float(state.std()), float(coupled_noise(SCHEDULE)[t]), rel_tol=0.03)


def test_two_networks_are_one_with_two_heads() -> None:
    target, degraded, noise = _images()
    both = TwoNetworks(_Says(degraded - target), _Says(noise))
    states = _walked(both, degraded, lambda purpose: noise, 3, name="coupled_two_networks")
    torch.testing.assert_close(states[-1], target, atol=1e-5, rtol=0)


class _Says(torch.nn.Module):
    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self._answer = answer

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self._answer


def test_regression_sees_the_degraded_image_alone() -> None:
    target, degraded, noise = _images()
    seen: list[Tensor] = []

    class Recorder(torch.nn.Module):
        def forward(self, x: Tensor, time: Tensor) -> Tensor:
            seen.append(x)
            return degraded - target

    batch = Batch(target, degraded, torch.tensor([5, 900]), noise)
    method = Regression(sampling(method="regression"))
    assert float(method.loss("residual", Recorder(), batch, Objective()).max()) < 1e-12
    states = _walked(Recorder(), degraded, lambda purpose: noise, 2, name="regression")
    torch.testing.assert_close(states[-1], target)
    for x in seen:
        assert torch.equal(x, degraded)
