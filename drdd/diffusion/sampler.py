"""The two parts of DRDD's sampler: remove the residual within fixed noise, then remove the noise.

Source: arXiv 2606.01048. Everything here is a pure function of its arguments; noise comes from the
caller's `draw` (see keyed.py), called with "step <t>" at each noise step when eta > 0. States are computed
lazily, so only one is in memory.
"""

import itertools
from collections.abc import Iterator, Sequence
from math import sqrt

import torch
from torch import Tensor

from drdd.diffusion.keyed import Draw
from drdd.diffusion.process import Net, stacked
from drdd.diffusion.schedule import Schedule


def remove_residual(
    net: Net, schedule: Schedule, y: Tensor, degraded: Tensor, grid: Sequence[int]
) -> Iterator[tuple[Tensor, Tensor]]:
    """De-residual: y <- y - (a_t - a_t') * I_res_hat along `grid`, deterministic.

    y: the state at grid[0], which is I_in + s * eps at the sampler's own first step.
    Yields the state after each step with the I_res that was predicted in it.
    """
    for t, t_next in itertools.pairwise(grid):
        a, a_next = schedule.a(t), schedule.a(t_next)
        residual = net(stacked(y, degraded), constant_time(y, a * schedule.steps)).float()
        y = y - (a - a_next) * residual
        yield y, residual


def remove_noise(
    net: Net,
    schedule: Schedule,
    x: Tensor,
    count: int,
    eta: float = 0.0,
    draw: Draw | None = None,
    condition: Tensor | None = None,
) -> Iterator[Tensor]:
    """De-noise (DDIM): x <- x - (b_t - sqrt(b_t'^2 - sigma^2)) * eps_hat + sigma * z,

    sigma^2 = eta * (b_t^2 - b_t'^2) * b_t'^2 / b_t^2. The last step jumps to the estimate of x_0.
    Yields the state after each step. Raises ValueError when eta > 0 and there is no `draw`.
    """
    if eta > 0 and draw is None:
        raise ValueError(f"eta = {eta} draws noise at each step, which needs `draw`")
    for t, t_next in itertools.pairwise(schedule.noise_grid(count)):
        b, b_next = schedule.b(t), schedule.b(t_next)
        predicted = net(stacked(x, condition), constant_time(x, b * schedule.steps)).float()
        variance = eta * (b**2 - b_next**2) * b_next**2 / b**2
        x = x - (b - sqrt(b_next**2 - variance)) * predicted
        if variance > 0 and draw is not None:
            x = x + sqrt(variance) * draw(f"step {t}")
        yield x


def constant_time(x: Tensor, value: float) -> Tensor:
    """A tensor of `value` for each image of the batch, (B,) float32."""
    return torch.full((x.shape[0],), value, dtype=torch.float32, device=x.device)
