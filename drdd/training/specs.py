"""What the loop trains: the noise stage on clean photographs, the residual stage on pairs.

A spec turns sample numbers into losses. Everything about the n-th sample of a run (photograph,
crop, symmetry, t, eps) is a pure function of (seed, stage, n), whatever the workers or restarts.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from drdd.data.intake import Pixels
from drdd.data.order import crop_alike, item_of
from drdd.diffusion import process
from drdd.diffusion.keyed import keyed_generator
from drdd.diffusion.schedule import Schedule
from drdd.nets.compact import CompactConfig, CompactUNet
from drdd.params import TimeDraw, TrainResidual, TrainStage


class StageSpec(Protocol):
    """One trainable stage."""

    name: str

    def network(self) -> CompactUNet:
        """A freshly initialised network; the same weights at every call."""
        ...

    def losses(self, net: nn.Module, samples: Sequence[int], device: torch.device) -> Tensor:
        """The loss of each sample, (B,)."""
        ...


class NoiseSpec:
    """Trained unpaired: clean photographs are all it is given."""

    name = "noise"

    def __init__(
        self,
        photographs: Sequence[Pixels],
        settings: TrainStage,
        schedule: Schedule,
        sampling_steps: int,
        seed: int,
    ) -> None:
        self._photographs, self._settings, self._seed = photographs, settings, seed
        self._schedule = schedule
        self._grid = schedule.noise_grid(sampling_steps)[:-1]

    def network(self) -> CompactUNet:
        return _network(3, self._settings, self._seed, self.name)

    def losses(self, net: nn.Module, samples: Sequence[int], device: torch.device) -> Tensor:
        targets, times, noises = [], [], []
        for n in samples:
            generator = keyed_generator(self._seed, self.name, n)
            item = item_of(self._seed, self.name, n, len(self._photographs))
            targets += crop_alike([self._photographs[item]], self._settings.crop, generator)
            times.append(
                draw_time(self._settings.time_draw, self._grid, self._schedule.start, generator)
            )
            noises.append(torch.randn(targets[-1].shape, generator=generator))
        t = torch.tensor(times, device=device)
        return process.noise_loss(
            net, self._schedule, _batch(targets, device), t, _batch(noises, device)
        )


class ResidualSpec:
    """Trained on pairs; tasks take turns, so each has an equal share of the samples."""

    name = "residual"

    def __init__(
        self,
        pairs: Mapping[str, Sequence[tuple[Pixels, Pixels]]],
        settings: TrainResidual,
        schedule: Schedule,
        sampling_steps: int,
        seed: int,
    ) -> None:
        """pairs: for each task, (target, degraded) photographs of one size."""
        self._pairs, self._tasks = pairs, sorted(pairs)
        self._settings, self._seed, self._schedule = settings, seed, schedule
        self._grid = schedule.residual_grid(sampling_steps)[:-1]

    def network(self) -> CompactUNet:
        return _network(6, self._settings, self._seed, self.name)

    def losses(self, net: nn.Module, samples: Sequence[int], device: torch.device) -> Tensor:
        targets, inputs, times, noises = [], [], [], []
        for n in samples:
            generator = keyed_generator(self._seed, self.name, n)
            turn, which = divmod(n, len(self._tasks))
            task = self._tasks[which]
            pair = self._pairs[task][
                item_of(self._seed, f"{self.name}/{task}", turn, len(self._pairs[task]))
            ]
            target, degraded = crop_alike(list(pair), self._settings.crop, generator)
            targets.append(target)
            inputs.append(degraded)
            times.append(
                draw_time(self._settings.time_draw, self._grid, self._schedule.steps - 1, generator)
            )
            noises.append(torch.randn(target.shape, generator=generator))
        target, degraded = _batch(targets, device), _batch(inputs, device)
        t = torch.tensor(times, device=device)
        loss = process.residual_loss(
            net, self._schedule, target, degraded, t, _batch(noises, device)
        )
        if self._settings.balance == "relative":
            # The floor, 1/100 of the squared range, keeps nearly clean crops from dominating.
            loss = loss / (process.residual_energy(target, degraded) + 0.01)
        return loss


def draw_time(mixture: TimeDraw, grid: Sequence[int], last: int, generator: torch.Generator) -> int:
    """A step: grid[0] with probability `start`, one of the grid with `grid`, else one of 0..last."""
    u = float(torch.rand((), generator=generator))
    if u < mixture.start:
        return grid[0]
    if u < mixture.start + mixture.grid:
        return grid[int(torch.randint(len(grid), (), generator=generator))]
    return int(torch.randint(last + 1, (), generator=generator))


def _network(in_channels: int, settings: TrainStage, seed: int, stage: str) -> CompactUNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed_generator(seed, stage, "initial weights").initial_seed())
        return CompactUNet(
            CompactConfig(in_channels, tuple(settings.network.channels), settings.network.blocks)
        )


def _batch(images: list[Tensor], device: torch.device) -> Tensor:
    return torch.stack(images).to(device, memory_format=torch.channels_last, non_blocking=True)
