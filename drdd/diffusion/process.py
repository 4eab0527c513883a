"""The two decoupled forward processes and what each network is trained to predict.

Images are (B, 3, H, W) in [-1, 1]; t is (B,) int64 in [0, T). Source: arXiv 2606.01048.
"""

from typing import Protocol

import torch
from torch import Tensor

from drdd.diffusion.schedule import Schedule


class NoiseNet(Protocol):
    """Predicts eps from x_t; `time` is b_t * T, shape (B,)."""

    def __call__(self, x: Tensor, time: Tensor) -> Tensor: ...


class ResidualNet(Protocol):
    """Predicts I_res from (y_t, I_in) stacked to (B, 6, H, W); `time` is a_t * T, shape (B,)."""

    def __call__(self, x: Tensor, time: Tensor) -> Tensor: ...


def diffuse_noise(schedule: Schedule, target: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Stage 1: x_t = I_0 + b_t * eps. The image itself is not scaled down."""
    return target + _per_image(schedule.noise_level, t) * noise


def diffuse_residual(
    schedule: Schedule, target: Tensor, degraded: Tensor, t: Tensor, noise: Tensor
) -> Tensor:
    """Stage 2, in the fixed-noise domain: y_t = (I_0 + s * eps) + a_t * I_res, I_res = I_in - I_0."""
    a = _per_image(schedule.residual_level, t)
    return target + schedule.fixed_noise * noise + a * (degraded - target)


def noise_loss(
    net: NoiseNet, schedule: Schedule, target: Tensor, t: Tensor, noise: Tensor
) -> Tensor:
    """Squared error of the predicted eps, (B,). Needs clean images only: the unpaired stage."""
    x = diffuse_noise(schedule, target, t, noise)
    predicted = net(x, schedule.noise_level.to(t.device)[t] * schedule.steps)
    return (predicted.float() - noise).square().mean(dim=(1, 2, 3))


def residual_loss(
    net: ResidualNet,
    schedule: Schedule,
    target: Tensor,
    degraded: Tensor,
    t: Tensor,
    noise: Tensor,
) -> Tensor:
    """Squared error of the predicted I_res, (B,). Needs pairs."""
    y = diffuse_residual(schedule, target, degraded, t, noise)
    time = schedule.residual_level.to(t.device)[t] * schedule.steps
    predicted = net(torch.cat([y, degraded], dim=1), time)
    return (predicted.float() - (degraded - target)).square().mean(dim=(1, 2, 3))


def residual_energy(target: Tensor, degraded: Tensor) -> Tensor:
    """Mean square of I_res, (B,): what a prediction of zero would be charged by `residual_loss`."""
    return (degraded - target).square().mean(dim=(1, 2, 3))


def _per_image(levels: Tensor, t: Tensor) -> Tensor:
    return levels.to(t.device)[t].view(-1, 1, 1, 1)
