"""Both forward processes and the sampler against closed forms and networks that know the answer."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from drdd.diffusion.keyed import keyed_generator, keyed_noise
from drdd.diffusion.process import (
    diffuse_noise,
    diffuse_residual,
    noise_loss,
    residual_energy,
    residual_loss,
)
from drdd.diffusion.sampler import remove_noise, remove_residual
from drdd.diffusion.schedule import Schedule

SCHEDULE = Schedule.linear(0.3)


def _images() -> tuple[Tensor, Tensor, Tensor]:
    """Target, degraded and noise, (2, 3, 8, 8)."""
    generator = keyed_generator("test images")
    target, degraded = (torch.rand(2, 3, 8, 8, generator=generator) * 2 - 1 for _ in range(2))
    return target, degraded, torch.randn(2, 3, 8, 8, generator=generator)


def test_forward_processes_are_the_papers() -> None:
    target, degraded, noise = _images()
    t = torch.tensor([10, 700])
    b = SCHEDULE.noise_level[t].view(2, 1, 1, 1)
    a = SCHEDULE.residual_level[t].view(2, 1, 1, 1)
    torch.testing.assert_close(diffuse_noise(SCHEDULE, target, t, noise), target + b * noise)
    torch.testing.assert_close(
        diffuse_residual(SCHEDULE, target, degraded, t, noise),
        target + SCHEDULE.fixed_noise * noise + a * (degraded - target),
    )


def test_at_the_last_step_the_state_is_where_sampling_begins() -> None:
    target, degraded, noise = _images()
    t = torch.tensor([999, 999])
    torch.testing.assert_close(
        diffuse_residual(SCHEDULE, target, degraded, t, noise),
        degraded + SCHEDULE.fixed_noise * noise,
    )


def test_losses_are_zero_for_the_truth_and_the_energy_for_silence() -> None:
    target, degraded, noise = _images()
    t = torch.tensor([5, 900])
    silent = lambda x, time: torch.zeros_like(x[:, :3])  # noqa: E731
    assert noise_loss(lambda x, time: noise, SCHEDULE, target, t, noise).max() < 1e-12
    truth = lambda x, time: degraded - target  # noqa: E731
    assert residual_loss(truth, SCHEDULE, target, degraded, t, noise).max() < 1e-12
    torch.testing.assert_close(
        noise_loss(silent, SCHEDULE, target, t, noise), noise.square().mean(dim=(1, 2, 3))
    )
    torch.testing.assert_close(
        residual_loss(silent, SCHEDULE, target, degraded, t, noise),
        residual_energy(target, degraded),
    )


def test_networks_are_told_the_levels_times_the_steps() -> None:
    target, degraded, noise = _images()
    t = torch.tensor([100, 400])
    told: list[Tensor] = []

    def net(x: Tensor, time: Tensor) -> Tensor:
        told.append(time)
        return x[:, :3]

    noise_loss(net, SCHEDULE, target, t, noise)
    residual_loss(net, SCHEDULE, target, degraded, t, noise)
    torch.testing.assert_close(told[0], SCHEDULE.noise_level[t] * 1000)
    torch.testing.assert_close(told[1], SCHEDULE.residual_level[t] * 1000)


def test_removing_noise_is_the_ddim_recursion_in_numpy() -> None:
    """With eta = 1 and a network that is a known function of its input."""
    _, _, x = _images()
    z = torch.randn(x.shape, generator=keyed_generator("z"))
    asked: list[str] = []

    def draw(purpose: str) -> Tensor:
        asked.append(purpose)
        return z

    net = lambda state, time: 0.1 * state + time.view(-1, 1, 1, 1) / 1000  # noqa: E731
    *_, result = remove_noise(net, SCHEDULE, x, 2, 1.0, draw)
    assert asked == [f"step {SCHEDULE.t_start}"]
    first, second, _ = SCHEDULE.noise_grid(2)
    b, b_next = SCHEDULE.b(first), SCHEDULE.b(second)
    variance = (b**2 - b_next**2) * b_next**2 / b**2
    state = x.numpy().astype(np.float64)
    state = state - (b - math.sqrt(b_next**2 - variance)) * (0.1 * state + b)
    state = state + math.sqrt(variance) * z.numpy()
    state = state - b_next * (0.1 * state + b_next)
    np.testing.assert_allclose(result.numpy(), state, atol=1e-5)


def test_removing_the_residual_takes_each_share_of_the_level_once() -> None:
    _, degraded, noise = _images()
    start = degraded + SCHEDULE.fixed_noise * noise
    one = torch.ones_like(degraded)
    steps = remove_residual(
        lambda x, time: one, SCHEDULE, start, degraded, SCHEDULE.residual_grid(4)
    )
    states = [state for state, _ in steps]
    torch.testing.assert_close(states[-1], start - one, atol=1e-5, rtol=0)
    for t, state in zip(SCHEDULE.residual_grid(4)[1:], states, strict=True):
        torch.testing.assert_close(state, start - (1 - SCHEDULE.a(t)) * one, atol=1e-5, rtol=0)


def test_noise_needs_someone_to_draw_it() -> None:
    with pytest.raises(ValueError, match=r"eta = 0\.5 draws noise"):
        next(remove_noise(lambda x, time: x, SCHEDULE, torch.zeros(1, 3, 4, 4), 2, eta=0.5))


def test_an_images_noise_depends_on_its_id_alone() -> None:
    batch = torch.zeros(3, 3, 5, 7)
    together = keyed_noise(0, ["a", "b", "c"], batch)
    permuted = keyed_noise(0, ["c", "a", "b"], batch)
    alone = keyed_noise(0, ["b"], batch[:1])
    for purpose in ("fixed noise", "step 999"):
        assert torch.equal(together(purpose)[[2, 0, 1]], permuted(purpose))
        assert torch.equal(together(purpose)[1:2], alone(purpose))
    assert not torch.equal(together("fixed noise"), together("step 999"))
    assert not torch.equal(together("step 999"), keyed_noise(1, ["a", "b", "c"], batch)("step 999"))
    with pytest.raises(ValueError, match="2 image ids for a batch of 3"):
        keyed_noise(0, ["a", "b"], batch)


def test_keyed_generators_are_independent_and_repeatable() -> None:
    def draw(*key: int | str) -> Tensor:
        return torch.randn(1000, generator=keyed_generator(*key))

    assert torch.equal(draw(0, "noise", 1), draw(0, "noise", 1))
    others = [
        draw(0, "noise", 2),
        draw(1, "noise", 1),
        draw(0, "residual", 1),
        draw("0", "noise", 1),
    ]
    for other in others:
        assert abs(float(torch.corrcoef(torch.stack([draw(0, "noise", 1), other]))[0, 1])) < 0.15
