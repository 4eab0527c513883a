"""The coupled rival: residual and noise are removed together (RDDM, arXiv 2308.13712).

I_t = I_0 + a_t * I_res + s_t * eps, with the same a_t as DRDD and s_t = s * b_t / b_T, so both methods
begin at I_in + s * eps and walk the same residual levels.
"""

import itertools
from math import sqrt

import torch
from torch import Tensor

from drdd.diffusion.keyed import Draw
from drdd.diffusion.process import Net, stacked
from drdd.diffusion.sampler import Sample, constant_time
from drdd.diffusion.schedule import Schedule, at


def coupled_noise(schedule: Schedule) -> Tensor:
    """s_t = s * b_t / b_T, (T,)."""
    return schedule.fixed_noise * schedule.noise_level / schedule.noise_level[-1]


def diffuse_coupled(
    schedule: Schedule, target: Tensor, degraded: Tensor, t: Tensor, noise: Tensor
) -> Tensor:
    """I_t = I_0 + a_t * I_res + s_t * eps."""
    a = at(schedule.residual_level, t)
    return target + a * (degraded - target) + at(coupled_noise(schedule), t) * noise


def coupled_losses(
    net: Net, schedule: Schedule, target: Tensor, degraded: Tensor, t: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Squared errors of the predicted I_res and of the predicted eps, (B,) each.

    net: (I_t, I_in) stacked -> (B, 6, H, W), the residual above the noise; time is a_t * T.
    """
    x = diffuse_coupled(schedule, target, degraded, t, noise)
    time = schedule.residual_level.to(t.device)[t] * schedule.steps
    residual, predicted = net(stacked(x, degraded), time).float().chunk(2, dim=1)
    errors = (residual - (degraded - target)), (predicted - noise)
    of_residual, of_noise = (error.square().mean(dim=(1, 2, 3)) for error in errors)
    return of_residual, of_noise


def sample_coupled(
    net: Net, schedule: Schedule, degraded: Tensor, draw: Draw, count: int = 4, eta: float = 0.0
) -> Sample:
    """x <- x - (a_t - a_t') * I_res_hat - (s_t - sqrt(s_t'^2 - sigma^2)) * eps_hat + sigma * z,

    sigma^2 = eta * (s_t^2 - s_t'^2) * s_t'^2 / s_t^2, over `count` steps of the residual grid.
    `estimate` of the result is I_in - I_res_hat of the last step, `deresidual` the state before it.
    """
    x = degraded + schedule.fixed_noise * draw("fixed noise")
    s = coupled_noise(schedule)
    states, residual = [x], torch.zeros_like(x)
    for t, t_next in itertools.pairwise(schedule.residual_grid(count)):
        a, a_next = schedule.a(t), schedule.a(t_next)
        level, level_next = float(s[t]), float(s[t_next]) if t_next >= 0 else 0.0
        both = net(stacked(x, degraded), constant_time(x, a * schedule.steps)).float()
        residual, noise = both.chunk(2, dim=1)
        variance = eta * (level**2 - level_next**2) * level_next**2 / level**2
        x = x - (a - a_next) * residual - (level - sqrt(level_next**2 - variance)) * noise
        if variance > 0:
            x = x + sqrt(variance) * draw(f"step {t}")
        states.append(x)
    return Sample(degraded - residual, states[-2], states[-1], tuple(states))
