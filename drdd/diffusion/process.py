"""The two decoupled forward processes and what each network is trained to predict.

Images are (B, 3, H, W) in [-1, 1]; t is (B,) int64 in [0, T). Source: arXiv 2606.01048.
"""

from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor

from drdd.diffusion.losses import Loss, squared
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


class InContext:
    """A network with the contexts of the images of a batch, (B, 12, S, S): itself a Net for them."""

    def __init__(self, net: Callable[..., Tensor], context: Tensor) -> None:
        self._net, self._context = net, context

    def __call__(self, x: Tensor, time: Tensor) -> Tensor:
        return self._net(x, time, self._context)

    def part(self, of: Tensor) -> "InContext":
        return InContext(self._net, self._context[of])


def in_context(net: Callable[..., Tensor], context: Tensor | None) -> Net:
    """The net for a batch of images; context: None for a net that takes none."""
    return net if context is None else InContext(net, context)


def part(net: Net, of: Tensor) -> Net:
    """The net for some images of its batch; of: their indices."""
    return net.part(of) if isinstance(net, InContext) else net


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
    loss: Loss = squared,
) -> Tensor:
    """Error of the predicted eps, (B,). Needs clean images only: the unpaired stage.

    condition: (B, 3, H, W) for the conditionings "input" and "estimate".
    """
    x = stacked(diffuse_noise(schedule, target, t, noise), condition)
    predicted = net(x, schedule.noise_level.to(t.device)[t] * schedule.steps)
    return loss(predicted.float() - noise)


def residual_loss(
    net: Net,
    schedule: Schedule,
    target: Tensor,
    degraded: Tensor,
    t: Tensor,
    noise: Tensor,
    loss: Loss = squared,
) -> Tensor:
    """Error of the predicted I_res, (B,). Needs pairs."""
    y = diffuse_residual(schedule, target, degraded, t, noise)
    return loss(residual_error(net, schedule, y, target, degraded, t))


def residual_error(
    net: Net, schedule: Schedule, y: Tensor, target: Tensor, degraded: Tensor, t: Tensor
) -> Tensor:
    """The I_res predicted from the state y at step t, less the true one, (B, 3, H, W)."""
    time = schedule.residual_level.to(t.device)[t] * schedule.steps
    predicted = net(stacked(y, degraded), time)
    return predicted.float() - (degraded - target)


def residual_energy(target: Tensor, degraded: Tensor) -> Tensor:
    """Mean square of I_res, (B,): the `residual_loss` of a prediction of zero."""
    return (degraded - target).square().mean(dim=(1, 2, 3))


def stacked(x: Tensor, condition: Tensor | None) -> Tensor:
    """Concatenate x and its condition, if any, on the channel axis."""
    return x if condition is None else torch.cat([x, condition], dim=1)
