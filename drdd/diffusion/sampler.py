"""The two-part sampler: remove the residual inside fixed noise, then remove the noise.

Source: arXiv 2606.01048. Both parts are pure functions of their inputs; the caller draws the noise.
"""

import itertools
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from drdd.diffusion.process import NoiseNet, ResidualNet
from drdd.diffusion.schedule import Schedule


@dataclass(frozen=True)
class Sample:
    """States of one restoration, each (B, 3, H, W).

    estimate: I_in - I_res_hat, the residual stage's own clean estimate.
    deresidual: the state after the de-residual part, still carrying the fixed noise.
    output: the restored image.
    """

    estimate: Tensor
    deresidual: Tensor
    output: Tensor


def remove_residual(
    net: ResidualNet, schedule: Schedule, y: Tensor, degraded: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """De-residual: y <- y - (a_t - a_t') * I_res_hat over `count` steps, deterministic.

    y: I_in + s * eps. Returns the final state and the last predicted I_res.
    """
    residual = torch.zeros_like(degraded)
    grid = schedule.residual_grid(count)
    for t, t_next in itertools.pairwise(grid):
        a, a_next = schedule.a(t), schedule.a(t_next)
        residual = net(torch.cat([y, degraded], dim=1), _time(y, a * schedule.steps)).float()
        y = y - (a - a_next) * residual
    return y, residual


def remove_noise(
    net: NoiseNet,
    schedule: Schedule,
    x: Tensor,
    count: int,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """De-noise (DDIM): x <- x - (b_t - sqrt(b_t'^2 - sigma^2)) * eps_hat + sigma * z,

    sigma^2 = eta * (b_t^2 - b_t'^2) * b_t'^2 / b_t^2. The last step jumps to the estimate of x_0.
    """
    grid = schedule.noise_grid(count)
    for t, t_next in itertools.pairwise(grid):
        b, b_next = schedule.b(t), schedule.b(t_next)
        predicted = net(x, _time(x, b * schedule.steps)).float()
        variance = eta * (b**2 - b_next**2) * b_next**2 / b**2
        x = x - (b - sqrt(b_next**2 - variance)) * predicted
        if variance > 0:
            z = torch.randn(x.shape, generator=generator, device=x.device)
            x = x + sqrt(variance) * z
    return x


def sample(
    residual_net: ResidualNet,
    noise_net: NoiseNet,
    schedule: Schedule,
    degraded: Tensor,
    noise: Tensor,
    residual_steps: int = 2,
    noise_steps: int = 2,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
) -> Sample:
    """Restore `degraded` (B, 3, H, W) in [-1, 1], starting from y_T = I_in + s * eps."""
    start = degraded + schedule.fixed_noise * noise
    deresidual, residual = remove_residual(residual_net, schedule, start, degraded, residual_steps)
    output = remove_noise(noise_net, schedule, deresidual, noise_steps, eta, generator)
    return Sample(degraded - residual, deresidual, output)


def _time(x: Tensor, value: float) -> Tensor:
    return torch.full((x.shape[0],), value, dtype=torch.float32, device=x.device)
