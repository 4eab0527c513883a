"""The two decoupled forward processes and what each network is trained to predict.

Images are (B, 3, H, W) in [-1, 1]; t is (B,) int64 in [0, T). Source: arXiv 2606.01048.
"""

from typing import Literal, Protocol

import torch
from torch import Tensor

from drdd.diffusion.schedule import Schedule, at

Conditioning = Literal["none", "input", "estimate"]
"""The condition that the noise net gets beside x_t.

none: nothing; it needs clean images only (the paper's claim).
input: I_in; it needs pairs (the released checkpoint).
estimate: the residual stage's clean estimate I_in - I_res_hat; trained on clean images with corrupted
    copies of them, so it needs no pairs either.
"""


class Net(Protocol):
    """A network that takes images, (B, C, H, W), and `time`, (B,) in [0, T]; returns (B, 3, H, W).

    noise net: predicts eps from x_t, with its condition (if any) as further channels; time is b_t * T.
    residual net: predicts I_res from (y_t, I_in) stacked to six channels; time is a_t * T.
    """

    def __call__(self, x: Tensor, time: Tensor) -> Tensor: ...


def diffuse_noise(schedule: Schedule, target: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Stage 1: x_t = I_0 + b_t * eps. The image itself is not scaled down."""
    return target + at(schedule.noise_level, t) * noise


def diffuse_residual(
    schedule: Schedule, target: Tensor, degraded: Tensor, t: Tensor, noise: Tensor
) -> Tensor:
    """Stage 2, in the fixed-noise domain: y_t = (I_0 + s * eps) + a_t * I_res, I_res = I_in - I_0."""
    a = at(schedule.residual_level, t)
    return target + schedule.fixed_noise * noise + a * (degraded - target)


def noise_loss(
    net: Net,
    schedule: Schedule,
    target: Tensor,
    t: Tensor,
    noise: Tensor,
    condition: Tensor | None = None,
) -> Tensor:
    """Squared error of the predicted eps, (B,). Needs clean images only: the unpaired stage.

    condition: (B, 3, H, W) for the conditionings "input" and "estimate".
    """
    x = stacked(diffuse_noise(schedule, target, t, noise), condition)
    predicted = net(x, schedule.noise_level.to(t.device)[t] * schedule.steps)
    return (predicted.float() - noise).square().mean(dim=(1, 2, 3))


def residual_loss(
    net: Net, schedule: Schedule, target: Tensor, degraded: Tensor, t: Tensor, noise: Tensor
) -> Tensor:
    """Squared error of the predicted I_res, (B,). Needs pairs."""
    y = diffuse_residual(schedule, target, degraded, t, noise)
    return residual_error(net, schedule, y, target, degraded, t)


def residual_error(
    net: Net, schedule: Schedule, y: Tensor, target: Tensor, degraded: Tensor, t: Tensor
) -> Tensor:
    """Squared error of the I_res predicted from the state y at step t, (B,)."""
    time = schedule.residual_level.to(t.device)[t] * schedule.steps
    predicted = net(stacked(y, degraded), time)
    return (predicted.float() - (degraded - target)).square().mean(dim=(1, 2, 3))


def residual_energy(target: Tensor, degraded: Tensor) -> Tensor:
    """Mean square of I_res, (B,): the `residual_loss` of a prediction of zero."""
    return (degraded - target).square().mean(dim=(1, 2, 3))


def stacked(x: Tensor, condition: Tensor | None) -> Tensor:
    """Concatenate x and its condition, if any, on the channel axis."""
    return x if condition is None else torch.cat([x, condition], dim=1)
