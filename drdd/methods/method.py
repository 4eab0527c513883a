"""What a method is: which networks it trains on what, and how they restore a picture, state by state.

Images are (B, 3, H, W) in [-1, 1]. Training, validation, evaluation, the service and the batch command know
methods by this interface alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from drdd.diffusion.keyed import Draw
from drdd.diffusion.process import Conditioning, Net, residual_energy
from drdd.diffusion.schedule import Schedule
from drdd.nets.families import NetworkConfig


@dataclass(frozen=True)
class Sampling:
    """How to restore with trained networks; a model's config.json keeps it.

    method: a name in `methods.names`; parameterization: what the noise net predicts, see
    diffusion/parameterization.py. The levels are those of `Schedule.linear`.
    """

    method: str
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


@dataclass(frozen=True)
class State:
    """One state on the way from a degraded picture to a restored one.

    name: such as "de-residual 2"; image: (B, 3, H, W), in about [-1, 1].
    """

    name: str
    image: Tensor


@dataclass(frozen=True)
class Batch:
    """target, degraded, noise: (B, 3, H, W); t: (B,). degraded is None where only targets exist."""

    target: Tensor
    degraded: Tensor | None
    t: Tensor
    noise: Tensor

    def to(self, device: torch.device) -> "Batch":
        degraded = self.degraded
        return Batch(
            self.target.to(device, non_blocking=True),
            None if degraded is None else degraded.to(device, non_blocking=True),
            self.t.to(device, non_blocking=True),
            self.noise.to(device, non_blocking=True),
        )

    def part(self, of: slice) -> "Batch":
        degraded = None if self.degraded is None else self.degraded[of]
        return Batch(self.target[of], degraded, self.t[of], self.noise[of])

    def pinned(self) -> "Batch":
        degraded = None if self.degraded is None else self.degraded.pin_memory()
        return Batch(
            self.target.pin_memory(), degraded, self.t.pin_memory(), self.noise.pin_memory()
        )


@dataclass(frozen=True)
class Objective:
    """What params choose about a loss.

    balance: divide each sample's residual loss by the energy of its residual, so that tasks with large
    residuals do not starve the others; rollout: train on states that the sampler itself reaches.
    """

    balance: bool = False
    rollout: bool = False


class Method(ABC):
    """A way to restore pictures. An instance is bound to its levels and steps, and holds no weights.

    stages: what it trains: "noise" (on clean images alone, unless conditioned on inputs), "residual" (on
        pairs), or both; of each, the networks that are trained in it, by their names in a model folder.
    options: the settings of Sampling that a caller may change when restoring.
    restores: how, in words that tell why it has no other options.
    """

    stages: ClassVar[Mapping[str, Sequence[str]]] = {"residual": ("residual",)}
    options: ClassVar[Sequence[str]] = ("residual_steps", "noise_steps", "noise_level")
    restores: ClassVar[str] = "without such an option"

    def __init__(self, sampling: Sampling) -> None:
        self.sampling, self.schedule = sampling, sampling.schedule()

    @abstractmethod
    def networks(self, stage: str, settings: Mapping[str, Any]) -> dict[str, NetworkConfig]:
        """The configuration of each network of a stage.

        settings: of the stage's network in params: its family and sizes.
        """

    @abstractmethod
    def loss(self, stage: str, net: nn.Module, batch: Batch, objective: Objective) -> Tensor:
        """Of each sample, (B,). net: as `join` makes it of the stage's networks."""

    @abstractmethod
    def trajectory(self, nets: Mapping[str, Net], degraded: Tensor, draw: Draw) -> Iterator[State]:
        """Restore `degraded`: every state on the way, the restored picture last.

        nets: of each stage, as `join` makes it; a stage's network is used only from the first state on that
        needs it. Each state is computed when it is asked for, and none is kept.
        """

    def timesteps(self, stage: str) -> list[int]:
        """The steps at which the sampler asks the stage's network, descending.

        Raises ValueError when there are not so many.
        """
        return self.schedule.residual_grid(self.sampling.residual_steps)[:-1]

    def last_timestep(self, stage: str) -> int:
        """The largest step on which the stage is trained."""
        return self.schedule.steps - 1

    def adapt(self, name: str, net: nn.Module) -> nn.Module:
        """A network of a family as the method uses it; by default as it is."""
        return net

    def join(self, nets: Mapping[str, nn.Module]) -> nn.Module:
        """The adapted networks of one stage as the one module that is trained; by default the only one."""
        (net,) = nets.values()
        return net

    def validate(
        self, stage: str, net: Net, target: Tensor, degraded: Tensor | None, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What a stage by itself begins from, and what it makes of that, (B, 3, H, W) each.

        degraded: None where the stage has targets alone; noise: standard normal.
        """
        assert degraded is not None
        for state in self.trajectory({stage: net}, degraded, lambda purpose: noise):
            output = state.image
        return degraded, output

    def check(self) -> None:
        """Raises ValueError when the steps do not fit the levels."""
        for stage in self.stages:
            self.timesteps(stage)


def balanced(of: Tensor, batch: Batch, objective: Objective) -> Tensor:
    """Each sample's squared error of I_res, (B,), as `objective` says.

    The floor of the energy, 1/100 of the squared range, keeps nearly clean crops from dominating.
    """
    if not objective.balance:
        return of
    assert batch.degraded is not None
    return of / (residual_energy(batch.target, batch.degraded) + 0.01)
