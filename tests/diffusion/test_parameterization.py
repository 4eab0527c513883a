"""Each parameterization around its own ideal network is the same denoiser, on a known Gaussian mixture.

The ideal networks are derived in each one's own coordinates, from the mixture's posterior for a
state u = alpha * x0 + gamma * eps; nothing is taken from the adapters under test.
"""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from drdd.diffusion.parameterization import PARAMETERIZATIONS, SIGMA_DATA, adapted, parameterization
from drdd.diffusion.process import noise_loss
from drdd.diffusion.sampler import remove_noise
from drdd.diffusion.schedule import Schedule

SCHEDULE = Schedule.linear(1.0)
MEANS = torch.tensor([-0.7, 0.1, 0.8], dtype=torch.float64)
SIGMAS = torch.tensor([0.1, 0.3, 0.05], dtype=torch.float64)
WEIGHTS = torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64)
ABAR = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
LOG_SNR = np.log(ABAR) - np.log1p(-ABAR)


def posterior_mean(u: Tensor, alpha: Tensor, gamma: Tensor) -> Tensor:
    """E[x0 | u] for pixels from the mixture and u = alpha * x0 + gamma * eps."""
    u, alpha, gamma = (v.double()[..., None] for v in torch.broadcast_tensors(u, alpha, gamma))
    variance = (alpha * SIGMAS).square() + gamma.square()
    log_weight = (
        WEIGHTS.log() - 0.5 * variance.log() - (u - alpha * MEANS).square() / (2 * variance)
    )
    mean = MEANS + alpha * SIGMAS.square() / variance * (u - alpha * MEANS)
    return (log_weight.softmax(dim=-1) * mean).sum(dim=-1)


class Ideal(nn.Module):
    """A parameterization's ideal network: its own state and time in, its own prediction out."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def forward(self, state: Tensor, time: Tensor) -> Tensor:
        told = time.double().view(-1, 1, 1, 1)
        u = state.double()
        if self._name == "paper":
            b = told / SCHEDULE.steps
            return (u - posterior_mean(u, torch.ones_like(b), b)) / b
        if self._name == "edm":
            b = torch.exp(4 * told)
            c_in = 1 / torch.sqrt(b**2 + SIGMA_DATA**2)
            x = u / c_in
            c_skip = SIGMA_DATA**2 / (b**2 + SIGMA_DATA**2)
            c_out = b * SIGMA_DATA / torch.sqrt(b**2 + SIGMA_DATA**2)
            return (posterior_mean(x, torch.ones_like(b), b) - c_skip * x) / c_out
        if self._name == "flow":
            x0 = posterior_mean(u, 1 - told, told)
            return (u - (1 - told) * x0) / told - x0
        log_snr = torch.from_numpy(np.interp(told.numpy(), np.arange(1000), LOG_SNR))
        alpha, gamma = torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()
        x0 = posterior_mean(u, alpha, gamma)
        eps = (u - alpha * x0) / gamma
        return {"vp_x0": x0, "vp_epsilon": eps, "vp_v": alpha * eps - gamma * x0}[self._name]


def _mixture(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    which = torch.multinomial(WEIGHTS, count * 192, replacement=True, generator=generator)
    noise = torch.randn(count * 192, generator=generator, dtype=torch.float64)
    return (MEANS[which] + SIGMAS[which] * noise).view(count, 3, 8, 8)


def _net(name: str) -> nn.Module:
    return adapted(Ideal(name), name, SCHEDULE.steps)


@pytest.mark.parametrize("name", PARAMETERIZATIONS)
def test_ideal_networks_give_the_posterior_mean(name: str) -> None:
    x0 = _mixture(6)
    t = torch.tensor([0, 40, 200, 500, 800, 999])
    b = SCHEDULE.noise_level[t].double().view(-1, 1, 1, 1)
    x = x0 + b * torch.randn(x0.shape, generator=torch.Generator().manual_seed(1))
    eps = _net(name)(x, b.flatten() * SCHEDULE.steps)
    torch.testing.assert_close(
        x - b * eps, posterior_mean(x, torch.ones_like(b), b), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("name", PARAMETERIZATIONS)
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_ideal_networks_give_the_same_samples(name: str, eta: float) -> None:
    start = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(2)).double()

    def draw(purpose: str) -> Tensor:
        seed = int(purpose.removeprefix("step "))
        return torch.randn(start.shape, generator=torch.Generator().manual_seed(seed))

    direct, wrapped = (
        list(remove_noise(_net(which), SCHEDULE, start, 20, eta, draw))[-1]
        for which in ("paper", name)
    )
    torch.testing.assert_close(wrapped, direct, atol=1e-4, rtol=0)
    assert float(direct.std()) > 0.3  # they are samples, not their mean


def test_ddim_with_the_ideal_denoiser_recovers_a_point_exactly() -> None:
    """Data that is one known picture: eta = 0 leads back to it from any noise, in any steps."""
    x0 = _mixture(2).float()

    def net(x: Tensor, time: Tensor) -> Tensor:
        return (x - x0) / (time / SCHEDULE.steps).view(-1, 1, 1, 1)

    for steps in (1, 2, 13):
        start = x0 + SCHEDULE.fixed_noise * torch.randn_like(x0)
        restored = list(remove_noise(net, SCHEDULE, start, steps))[-1]
        torch.testing.assert_close(restored, x0, atol=1e-5, rtol=0)


def test_the_posterior_of_one_gaussian_is_its_closed_form() -> None:
    """The ideal loss of the noise stage is the posterior's variance, b-scaled: s^2 / (s^2 + b^2)."""
    sigma, t = 0.4, torch.full((64,), 300)
    generator = torch.Generator().manual_seed(0)
    x0 = sigma * torch.randn(64, 3, 16, 16, generator=generator)
    eps = torch.randn(x0.shape, generator=generator)
    b = float(SCHEDULE.noise_level[300])

    def net(x: Tensor, time: Tensor) -> Tensor:
        return b / (sigma**2 + b**2) * x

    loss = float(noise_loss(net, SCHEDULE, x0, t, eps).mean())
    assert loss == pytest.approx(sigma**2 / (sigma**2 + b**2), rel=0.02)


@pytest.mark.parametrize("name", PARAMETERIZATIONS)
def test_gradients_are_finite_at_both_ends_of_the_schedule(name: str) -> None:
    torch.manual_seed(0)
    net = adapted(_Small(), name, SCHEDULE.steps)
    x0, eps = torch.rand(2, 2, 3, 8, 8).mul(2).sub(1)
    noise_loss(net, SCHEDULE, x0, torch.tensor([0, 999]), eps).mean().backward()
    for parameter in net.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()


class _Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.time = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(1, 3)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self.conv(x) + self.time(time[:, None])[:, :, None, None]


def test_a_name_that_is_no_parameterization_is_refused() -> None:
    with pytest.raises(
        ValueError, match="'ddpm' is no parameterization; there are paper, vp_epsilon"
    ):
        parameterization("ddpm", 1000)
