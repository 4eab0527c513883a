"""The two-part sampler: remove the residual inside fixed noise, then remove the noise.

Source: arXiv 2606.01048. Everything here is a pure function of its arguments; noise comes from the
caller's `draw` (see keyed.py), which is asked for "fixed noise" once and, when eta > 0, for
"step <t>" at each noise step.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from drdd.diffusion.keyed import Draw
from drdd.diffusion.process import Conditioning, Net, stacked
from drdd.diffusion.schedule import Schedule


@dataclass(frozen=True)
class Sample:
    """States of one restoration, each (B, 3, H, W).

    estimate: I_in - I_res_hat, the residual stage's own clean estimate.
    deresidual: the state after the de-residual part, still carrying the fixed noise.
    output: the restored image.
    states: every state from the start to the output, in order.
    """

    estimate: Tensor
    deresidual: Tensor
    output: Tensor
    states: tuple[Tensor, ...]


def remove_residual(
    net: Net, schedule: Schedule, y: Tensor, degraded: Tensor, grid: Sequence[int]
) -> tuple[list[Tensor], Tensor]:
    """De-residual: y <- y - (a_t - a_t') * I_res_hat along `grid`, deterministic.

    y: the state at grid[0], which is I_in + s * eps at the sampler's own first step.
    Returns the state after each step, and the last predicted I_res.
    """
    states, residual = [], torch.zeros_like(degraded)
    for t, t_next in itertools.pairwise(grid):
        a, a_next = schedule.a(t), schedule.a(t_next)
        residual = net(stacked(y, degraded), constant_time(y, a * schedule.steps)).float()
        y = y - (a - a_next) * residual
        states.append(y)
    return states, residual


def remove_noise(
    net: Net,
    schedule: Schedule,
    x: Tensor,
    count: int,
    eta: float = 0.0,
    draw: Draw | None = None,
    condition: Tensor | None = None,
) -> list[Tensor]:
    """De-noise (DDIM): x <- x - (b_t - sqrt(b_t'^2 - sigma^2)) * eps_hat + sigma * z,

    sigma^2 = eta * (b_t^2 - b_t'^2) * b_t'^2 / b_t^2. The last step jumps to the estimate of x_0.
    Returns the state after each step. Raises ValueError when eta > 0 and there is no `draw`.
    """
    if eta > 0 and draw is None:
        raise ValueError(f"eta = {eta} draws noise at each step, which needs `draw`")
    states = []
    for t, t_next in itertools.pairwise(schedule.noise_grid(count)):
        b, b_next = schedule.b(t), schedule.b(t_next)
        predicted = net(stacked(x, condition), constant_time(x, b * schedule.steps)).float()
        variance = eta * (b**2 - b_next**2) * b_next**2 / b**2
        x = x - (b - sqrt(b_next**2 - variance)) * predicted
        if variance > 0 and draw is not None:
            x = x + sqrt(variance) * draw(f"step {t}")
        states.append(x)
    return states


def sample(
    residual_net: Net,
    noise_net: Net,
    schedule: Schedule,
    degraded: Tensor,
    draw: Draw,
    residual_steps: int = 2,
    noise_steps: int = 2,
    eta: float = 0.0,
    conditioning: Conditioning = "none",
) -> Sample:
    """Restore `degraded` (B, 3, H, W) in [-1, 1], starting from y_T = I_in + s * eps."""
    start = degraded + schedule.fixed_noise * draw("fixed noise")
    grid = schedule.residual_grid(residual_steps)
    clean, residual = remove_residual(residual_net, schedule, start, degraded, grid)
    estimate = degraded - residual
    condition = {"none": None, "input": degraded, "estimate": estimate}[conditioning]
    denoised = remove_noise(noise_net, schedule, clean[-1], noise_steps, eta, draw, condition)
    return Sample(estimate, clean[-1], denoised[-1], (start, *clean, *denoised))


def constant_time(x: Tensor, value: float) -> Tensor:
    """`value` for each image of the batch, (B,) float32."""
    return torch.full((x.shape[0],), value, dtype=torch.float32, device=x.device)
