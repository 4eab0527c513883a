"""Residual and noise levels over the diffusion steps.

| paper             | here                  | value                   |
|-------------------|-----------------------|-------------------------|
| beta_t            | `betas`               | linear                  |
| abar_t            | `alphas_cumprod`      | prod(1 - beta)          |
| a_t               | `residual_level[t]`   | 1 - sqrt(abar_t)        |
| b_t               | `noise_level[t]`      | sqrt(1 - abar_t)        |
| s                 | `fixed_noise`         | b_t at `t_start`        |
| T                 | `steps`               | 1000                    |

Source: arXiv 2606.01048. One deliberate difference: the published a_T is 0.9936, which never removes
0.6 % of the residual; here a is divided by a_T, so that removal is complete, unless a published
checkpoint asks for its own levels (`normalise_residual=False`).
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Schedule:
    """Levels of every step, and the noise level `s` of the fixed-noise domain.

    residual_level, noise_level: (T,) float32, rising from about 0 to about 1.
    t_start: the step at which the noise stage begins, whose b_t is nearest to the requested s.
    """

    residual_level: Tensor
    noise_level: Tensor
    t_start: int

    @classmethod
    def linear(
        cls,
        noise_level: float,
        steps: int = 1000,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
        normalise_residual: bool = True,
    ) -> "Schedule":
        """The paper's linear betas. `noise_level` is s in (0, 1]. Raises ValueError outside of it."""
        if not 0 < noise_level <= 1:
            raise ValueError(f"noise_level must be in (0, 1], got {noise_level}")
        betas = torch.linspace(beta_start, beta_end, steps, dtype=torch.float64)
        alphas_cumprod = torch.cumprod(1 - betas, dim=0)
        a = 1 - alphas_cumprod.sqrt()
        b = (1 - alphas_cumprod).sqrt()
        t_start = int((b - noise_level).abs().argmin())
        return cls((a / a[-1] if normalise_residual else a).float(), b.float(), t_start)

    @property
    def steps(self) -> int:
        return len(self.noise_level)

    @property
    def fixed_noise(self) -> float:
        """s: the noise level at which the residual is removed and the noise stage starts."""
        return float(self.noise_level[self.t_start])

    def residual_grid(self, count: int) -> list[int]:
        """Steps of the de-residual part, descending from T - 1, ending in -1 (level 0)."""
        return _grid(self.steps - 1, count)

    def noise_grid(self, count: int) -> list[int]:
        """Steps of the de-noise part, descending from `t_start`, ending in -1 (level 0)."""
        return _grid(self.t_start, count)

    def a(self, t: int) -> float:
        """Residual level at step t; 0 at t = -1."""
        return float(self.residual_level[t]) if t >= 0 else 0.0

    def b(self, t: int) -> float:
        """Noise level at step t; 0 at t = -1."""
        return float(self.noise_level[t]) if t >= 0 else 0.0


def at(levels: Tensor, t: Tensor) -> Tensor:
    """The level of each image's step, (B, 1, 1, 1). levels: (T,); t: (B,) int64 in [0, T)."""
    return levels.to(t.device)[t].view(-1, 1, 1, 1)


def _grid(last: int, count: int) -> list[int]:
    """linspace(-1, last, count + 1) rounded to integers, descending (the paper's sampling steps)."""
    if count < 1 or count > last + 1:
        raise ValueError(f"{count} sampling steps do not fit into {last + 1} diffusion steps")
    return torch.linspace(-1, last, count + 1, dtype=torch.float64).round().int().tolist()[::-1]
