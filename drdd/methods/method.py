"""The interface of a method: its networks, their losses, and the trajectory that restores a picture.

Images are (B, 3, H, W) in [-1, 1]. Training, validation, evaluation, the service and the batch command use
methods only through this interface.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from drdd.diffusion.keyed import Draw
from drdd.diffusion.losses import Loss, squared
from drdd.diffusion.process import Conditioning, Net, residual_energy
from drdd.diffusion.schedule import Schedule
from drdd.nets.families import NetworkConfig


@dataclass(frozen=True)
class Sampling:
    """The settings for restoring with trained networks, saved in the config.json of a model.

    method: a name in `methods.names`; parameterization: what the noise net predicts, see
    diffusion/parameterization.py. Files of models are held to the ranges. The levels are those of
    `Schedule.linear`.
    """

    method: Annotated[str, Field(max_length=40)]
    steps: Annotated[int, Field(ge=2, le=10_000)]
    beta_start: Annotated[float, Field(gt=0, le=1)]
    beta_end: Annotated[float, Field(gt=0, le=1)]
    normalise_residual: bool
    noise_level: Annotated[float, Field(gt=0, le=1)]
    residual_steps: Annotated[int, Field(ge=1, le=1000)]
    noise_steps: Annotated[int, Field(ge=1, le=1000)]
    eta: Annotated[float, Field(ge=0, le=1)]
    conditioning: Conditioning
    parameterization: Annotated[str, Field(max_length=40)]

    def schedule(self) -> Schedule:
        return Schedule.linear(
            self.noise_level, self.steps, self.beta_start, self.beta_end, self.normalise_residual
        )


@dataclass(frozen=True)
class State:
    """One state of the trajectory from a degraded picture to the restored one.

    name: such as "de-residual 2"; image: (B, 3, H, W), in about [-1, 1].
    """

    name: str
    image: Tensor


@dataclass(frozen=True)
class Batch:
    """Training samples. target, degraded, noise: (B, 3, H, W); t: (B,); context: (B, 12, S, S).

    context is of the whole degraded pictures; degraded and context are None without pairs.
    """

    target: Tensor
    degraded: Tensor | None
    t: Tensor
    noise: Tensor
    context: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        return self._each(lambda x: x.to(device, non_blocking=True))

    def part(self, of: slice) -> "Batch":
        return self._each(lambda x: x[of])

    def pinned(self) -> "Batch":
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return Batch(
            *(
                None if x is None else change(x)
                for x in (getattr(self, f.name) for f in fields(self))
            )  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Objective:
    """The options of a loss that params choose.

    loss: of an error; balance: divide each sample's squared error of I_res by the energy of its residual,
    so that tasks with large residuals do not dominate; rollout: train on states that the sampler reaches.
    """

    loss: Loss = squared
    balance: bool = False
    rollout: bool = False

    def of_residual(self, batch: "Batch") -> Loss:
        """The loss of an error of I_res, balanced if so chosen.

        The added 0.01 bounds the weight of nearly clean crops.
        """
        if not self.balance:
            return self.loss
        assert batch.degraded is not None
        energy = residual_energy(batch.target, batch.degraded) + 0.01
        return lambda error: self.loss(error * energy.rsqrt()[:, None, None, None])


class Method(ABC):
    """A restoration method. An instance has a noise schedule and step counts, but no weights.

    stages: the stages that it trains, "noise" (on clean images alone, unless conditioned on inputs) and
        "residual" (on pairs), each with the names of its networks in a model folder.
    options: the fields of Sampling that a caller may change when restoring.
    restores: completes the error message for an option that the method does not have.
    """

    stages: ClassVar[Mapping[str, Sequence[str]]] = {"residual": ("residual",)}
    options: ClassVar[Sequence[str]] = ("residual_steps", "noise_steps", "noise_level")
    restores: ClassVar[str] = "without such an option"

    def __init__(self, sampling: Sampling) -> None:
        self.sampling, self.schedule = sampling, sampling.schedule()

    @abstractmethod
    def networks(self, stage: str, settings: Mapping[str, Any]) -> dict[str, NetworkConfig]:
        """The configuration of each network of a stage, by name.

        settings: the stage's `network` in params: family and sizes.
        """

    @abstractmethod
    def loss(self, stage: str, net: Net, batch: Batch, objective: Objective) -> Tensor:
        """The loss of each sample, (B,). net: the module that `join` makes from the stage's networks."""

    @abstractmethod
    def trajectory(self, nets: Mapping[str, Net], degraded: Tensor, draw: Draw) -> Iterator[State]:
        """Restore `degraded`: yield every state, the restored picture last.

        nets: the module that `join` makes, by stage; it is looked up when the first state needs it. States
        are computed lazily, and none is kept in memory.
        """

    def timesteps(self, stage: str) -> list[int]:
        """The diffusion steps at which the sampler calls the stage's network, descending.

        Raises ValueError when the schedule has fewer steps than the sampler needs.
        """
        return self.schedule.residual_grid(self.sampling.residual_steps)[:-1]

    def last_timestep(self, stage: str) -> int:
        """The largest diffusion step on which the stage is trained."""
        return self.schedule.steps - 1

    def adapt(self, name: str, net: nn.Module) -> nn.Module:
        """Wrap the network called `name` for this method; by default, return it unchanged."""
        return net

    def join(self, nets: Mapping[str, nn.Module]) -> nn.Module:
        """Combine a stage's adapted networks into one trainable module; by default there is only one."""
        (net,) = nets.values()
        return net

    def validate(
        self, stage: str, net: Net, target: Tensor, degraded: Tensor | None, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Restore with one stage alone. Returns (input of the stage, output), each (B, 3, H, W).

        degraded: None when the stage has only targets; noise: standard normal.
        """
        assert degraded is not None
        for state in self.trajectory({stage: net}, degraded, lambda purpose: noise):
            output = state.image
        return degraded, output

    def check(self) -> None:
        """Raises ValueError when the schedule has fewer steps than the sampler needs."""
        for stage in self.stages:
            self.timesteps(stage)
