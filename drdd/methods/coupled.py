"""The coupled baseline: residual and noise are removed together (RDDM, arXiv 2308.13712).

I_t = I_0 + a_t * I_res + s_t * eps, with the a_t of DRDD and s_t = s * b_t / b_T, so both methods begin at
I_in + s * eps and use the same residual levels.
"""

import itertools
from collections.abc import Iterator, Mapping
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn

from drdd.diffusion.keyed import Draw
from drdd.diffusion.process import Net, stacked
from drdd.diffusion.sampler import constant_time
from drdd.diffusion.schedule import Schedule, at
from drdd.methods.method import Batch, Method, Objective, State
from drdd.nets.families import NetworkConfig, network_config


class Implementation(Method):
    """One network with two heads. It uses as many sampling steps as both parts of DRDD together."""

    def networks(self, stage: str, settings: Mapping[str, Any]) -> dict[str, NetworkConfig]:
        """(I_t, I_in) -> I_res and eps, stacked to six channels."""
        return {
            "residual": network_config(in_channels=6, out_channels=6, **settings).for_restoring()
        }

    def loss(self, stage: str, net: Net, batch: Batch, objective: Objective) -> Tensor:
        assert batch.degraded is not None
        of_residual, of_noise = coupled_errors(
            net, self.schedule, batch.target, batch.degraded, batch.t, batch.noise
        )
        return objective.of_residual(batch)(of_residual) + objective.loss(of_noise)

    def trajectory(self, nets: Mapping[str, Net], degraded: Tensor, draw: Draw) -> Iterator[State]:
        """ "noised input", "step 1", ...:

        x <- x - (a_t - a_t') * I_res_hat - (s_t - sqrt(s_t'^2 - sigma^2)) * eps_hat + sigma * z,
        sigma^2 = eta * (s_t^2 - s_t'^2) * s_t'^2 / s_t^2.
        """
        schedule, net, eta = self.schedule, nets["residual"], self.sampling.eta
        s = coupled_noise(schedule)
        x = degraded + schedule.fixed_noise * draw("fixed noise")
        yield State("noised input", x)
        for n, (t, t_next) in enumerate(itertools.pairwise([*self.timesteps("residual"), -1]), 1):
            a, a_next = schedule.a(t), schedule.a(t_next)
            level, level_next = float(s[t]), float(s[t_next]) if t_next >= 0 else 0.0
            both = net(stacked(x, degraded), constant_time(x, a * schedule.steps)).float()
            residual, noise = both.chunk(2, dim=1)
            variance = eta * (level**2 - level_next**2) * level_next**2 / level**2
            x = x - (a - a_next) * residual - (level - sqrt(level_next**2 - variance)) * noise
            if variance > 0:
                x = x + sqrt(variance) * draw(f"step {t}")
            yield State(f"step {n}", x)

    def timesteps(self, stage: str) -> list[int]:
        steps = self.sampling.residual_steps + self.sampling.noise_steps
        return self.schedule.residual_grid(steps)[:-1]


def coupled_noise(schedule: Schedule) -> Tensor:
    """s_t = s * b_t / b_T, (T,)."""
    return schedule.fixed_noise * schedule.noise_level / schedule.noise_level[-1]


def diffuse_coupled(
    schedule: Schedule, target: Tensor, degraded: Tensor, t: Tensor, noise: Tensor
) -> Tensor:
    """I_t = I_0 + a_t * I_res + s_t * eps."""
    a = at(schedule.residual_level, t)
    return target + a * (degraded - target) + at(coupled_noise(schedule), t) * noise


def coupled_errors(
    net: Net, schedule: Schedule, target: Tensor, degraded: Tensor, t: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Errors of the predicted I_res and of the predicted eps, (B, 3, H, W) each.

    net: (I_t, I_in) stacked -> (B, 6, H, W), the residual first; time is a_t * T.
    """
    x = diffuse_coupled(schedule, target, degraded, t, noise)
    time = schedule.residual_level.to(t.device)[t] * schedule.steps
    residual, predicted = net(stacked(x, degraded), time).float().chunk(2, dim=1)
    return residual - (degraded - target), predicted - noise


class TwoNetworks(nn.Module):
    """Two networks as one with two heads: residual, then noise, (B, 6, H, W)."""

    def __init__(self, residual: nn.Module, noise: nn.Module) -> None:
        super().__init__()
        self.residual, self.noise = residual, noise

    def forward(self, x: Tensor, time: Tensor, *context: Tensor) -> Tensor:
        return torch.cat([self.residual(x, time, *context), self.noise(x, time)], dim=1)
