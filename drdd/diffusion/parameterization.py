"""Use mainstream diffusion models as the noise stage, by a change of variables.

DRDD's noise stage sees x = I_0 + b * eps, the image unscaled ("variance exploding", Karras et al.
2022, arXiv 2206.00364), and predicts eps. Every parameterization sees a scaled copy of the same
state, gets the noise level in its own units, and predicts another linear mix of I_0 and eps:

| name     | its state                            | scale of x         | time     | predicts       |
|----------|--------------------------------------|--------------------|----------|----------------|
| paper    | I_0 + b eps                          | 1                  | b T      | eps            |
| vp_*     | sqrt(abar) I_0 + sqrt(1 - abar) eps  | 1 / sqrt(1 + b^2)  | t        | eps, v or x0   |
| edm      | c_in (I_0 + b eps)                   | c_in(b)            | ln(b) / 4| F              |
| flow     | (1 - tau) I_0 + tau eps              | 1 / (1 + b)        | tau      | eps - I_0      |

VP is DDPM (Ho et al. 2020); its networks predict eps, I_0, or v = sqrt(abar) eps - sqrt(1 - abar) I_0
(Salimans and Ho 2022). EDM's D = c_skip x + c_out F is Karras et al.'s table 1. Flow is rectified
flow (Liu et al. 2022) with tau = b / (1 + b).
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from drdd.diffusion.process import stacked

SIGMA_DATA = 0.5


class Parameterization(ABC):
    """A change of variables at noise level b, (B, 1, 1, 1), in (0, 1]."""

    @abstractmethod
    def scale(self, b: Tensor) -> Tensor:
        """The factor from x to the state of the parameterization, shaped like b."""

    @abstractmethod
    def time(self, b: Tensor) -> Tensor:
        """The time input of the parameterization's network, shaped like b."""

    @abstractmethod
    def noise(self, state: Tensor, output: Tensor, b: Tensor) -> Tensor:
        """Compute eps from the state and the output of the parameterization's network."""


class Paper(Parameterization):
    """The identity: the network already is DRDD's noise net."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def scale(self, b: Tensor) -> Tensor:
        return torch.ones_like(b)

    def time(self, b: Tensor) -> Tensor:
        return b * self._steps

    def noise(self, state: Tensor, output: Tensor, b: Tensor) -> Tensor:
        return output


class VariancePreserving(Parameterization):
    """DDPM on linear betas. b = sqrt((1 - abar) / abar), so sqrt(abar) = 1 / sqrt(1 + b^2).

    b lies between two discrete steps: t is a fraction, interpolated linearly in ln b.
    """

    def __init__(self, predicts: str, steps: int = 1000, beta: tuple[float, float] = (1e-4, 0.02)):
        self._predicts = predicts
        betas = torch.linspace(*beta, steps, dtype=torch.float64)
        abar = torch.cumprod(1 - betas, dim=0)
        self._log_b = 0.5 * (torch.log1p(-abar) - torch.log(abar))

    def scale(self, b: Tensor) -> Tensor:
        return torch.rsqrt(1 + b.square())

    def time(self, b: Tensor) -> Tensor:
        table = self._log_b.to(b.device)
        wanted = b.double().log().clamp(table[0], table[-1])
        above = torch.searchsorted(table, wanted).clamp(1, len(table) - 1)
        low, high = table[above - 1], table[above]
        return (above - 1 + (wanted - low) / (high - low)).to(b.dtype)

    def noise(self, state: Tensor, output: Tensor, b: Tensor) -> Tensor:
        signal = self.scale(b)
        if self._predicts == "epsilon":
            return output
        if self._predicts == "v":
            return signal * output + b * signal * state
        return (state - signal * output) / (b * signal)


class Edm(Parameterization):
    """c_in = 1/sqrt(b^2 + d^2), c_skip = d^2/(b^2 + d^2), c_out = b d/sqrt(b^2 + d^2), d = SIGMA_DATA."""

    def scale(self, b: Tensor) -> Tensor:
        return torch.rsqrt(b.square() + SIGMA_DATA**2)

    def time(self, b: Tensor) -> Tensor:
        return b.log() / 4

    def noise(self, state: Tensor, output: Tensor, b: Tensor) -> Tensor:
        # eps = (x - D) / b with D = c_skip x + c_out F; 1 - c_skip = b^2 c_in^2, x = state / c_in.
        c_in = self.scale(b)
        return b * c_in * state - SIGMA_DATA * c_in * output


class Flow(Parameterization):
    """State (1 - tau) I_0 + tau eps, velocity eps - I_0: eps = state + (1 - tau) * velocity."""

    def scale(self, b: Tensor) -> Tensor:
        return 1 / (1 + b)

    def time(self, b: Tensor) -> Tensor:
        return b / (1 + b)

    def noise(self, state: Tensor, output: Tensor, b: Tensor) -> Tensor:
        return state + output / (1 + b)


class Adapted(nn.Module):
    """Wraps a network as DRDD's noise net: it takes (x_t [, condition]) and b_t * T and returns eps."""

    def __init__(self, net: nn.Module, parameterization: Parameterization, steps: int) -> None:
        super().__init__()
        self.net, self._parameterization, self._steps = net, parameterization, steps

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        image, condition = x[:, :3], x[:, 3:] if x.shape[1] > 3 else None
        b = (time / self._steps).view(-1, 1, 1, 1)
        state = self._parameterization.scale(b) * image
        output = self.net(stacked(state, condition), self._parameterization.time(b).flatten())
        return self._parameterization.noise(state, output.float(), b)


PARAMETERIZATIONS = ("paper", "vp_epsilon", "vp_v", "vp_x0", "edm", "flow")


def parameterization(name: str, steps: int) -> Parameterization:
    """Make the parameterization `name`.

    steps: T of the DRDD schedule. Raises ValueError for an unknown name.
    """
    if name == "paper":
        return Paper(steps)
    if name == "edm":
        return Edm()
    if name == "flow":
        return Flow()
    if name not in PARAMETERIZATIONS:
        raise ValueError(
            f"{name!r} is no parameterization; there are {', '.join(PARAMETERIZATIONS)}"
        )
    return VariancePreserving(name.removeprefix("vp_"))


def adapted(net: nn.Module, name: str, steps: int) -> nn.Module:
    """Wrap `net` as DRDD's noise net. "paper" needs no wrapper: `net` itself is returned."""
    return net if name == "paper" else Adapted(net, parameterization(name, steps), steps)
