"""The methods side by side: DRDD and its two rivals, restoring the same pictures the same way."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from drdd.diffusion.keyed import Draw
from drdd.diffusion.process import Conditioning, Net
from drdd.diffusion.sampler import Sample, sample
from drdd.diffusion.schedule import Schedule
from drdd.methods.coupled import sample_coupled
from drdd.methods.regression import regress

Method = Literal["drdd", "coupled", "regression"]


@dataclass(frozen=True)
class Sampling:
    """How to restore with trained networks. The levels are those of `Schedule.linear`.

    parameterization: what the noise net predicts, see parameterization.py.
    """

    method: Method
    steps: int
    beta_start: float
    beta_end: float
    normalise_residual: bool
    noise_level: float
    residual_steps: int
    noise_steps: int
    eta: float
    conditioning: Conditioning
    parameterization: str

    def schedule(self) -> Schedule:
        return Schedule.linear(
            self.noise_level, self.steps, self.beta_start, self.beta_end, self.normalise_residual
        )

    def purposes(self) -> tuple[str, ...]:
        """What `draw` will be asked for: a caller may draw it all beforehand."""
        if self.method == "regression":
            return ()
        schedule = self.schedule()
        if self.method == "drdd":
            grid = schedule.noise_grid(self.noise_steps)
        else:
            grid = schedule.residual_grid(self.residual_steps + self.noise_steps)
        # The last step lands on level 0, where no noise is added.
        fresh = [f"step {t}" for t in grid[:-2]] if self.eta > 0 else []
        return ("fixed noise", *fresh)


def restore(
    sampling: Sampling,
    schedule: Schedule,
    nets: Mapping[str, Net],
    degraded: Tensor,
    draw: Draw,
) -> Sample:
    """Restore `degraded`, (B, 3, H, W) in [-1, 1].

    nets: "residual" and, for DRDD, "noise". The coupled rival takes as many steps in all.
    """
    if sampling.method == "regression":
        return regress(nets["residual"], schedule, degraded)
    if sampling.method == "coupled":
        count = sampling.residual_steps + sampling.noise_steps
        return sample_coupled(nets["residual"], schedule, degraded, draw, count, sampling.eta)
    return sample(
        nets["residual"],
        nets["noise"],
        schedule,
        degraded,
        draw,
        sampling.residual_steps,
        sampling.noise_steps,
        sampling.eta,
        sampling.conditioning,
    )


class TwoNetworks(nn.Module):
    """The coupled rival with a network for each half: residual above noise, (B, 6, H, W)."""

    def __init__(self, residual: nn.Module, noise: nn.Module) -> None:
        super().__init__()
        self.residual, self.noise = residual, noise

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return torch.cat([self.residual(x, time), self.noise(x, time)], dim=1)
