"""What the loop trains: the noise stage on clean photographs, the residual stage or a rival on pairs.

A spec turns sample numbers into losses. Everything about the n-th sample of a run (photograph,
crop, symmetry, t, eps) is a pure function of (seed, stage, n), whatever the workers or restarts.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from drdd.checkpoints.pretrained import Start
from drdd.checkpoints.warm_start import Weights
from drdd.diffusion import process
from drdd.diffusion.keyed import keyed_generator
from drdd.diffusion.methods import Method, TwoNetworks
from drdd.diffusion.parameterization import adapted
from drdd.diffusion.rollout import rollout_loss
from drdd.diffusion.schedule import Schedule
from drdd.errors import UserError
from drdd.methods.coupled import coupled_losses
from drdd.methods.regression import regression_loss
from drdd.nets.families import build
from drdd.params import Diffusion, TimestepSampling, TrainNoise, TrainResidual
from drdd.training.networks import noise_network, residual_networks
from drdd.training.samples import CleanSamples, PairSamples
from drdd.training.validation import Validated

BUCKETS = 4  # of t, whose losses are logged apart


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
class Drawing:
    """What is needed to learn from some samples. members: (B, G), 1 where a sample is of a group."""

    batch: Batch
    members: Tensor

    def parts(self, size: int | None) -> "list[Drawing]":
        """Of `size` samples each, the last perhaps fewer; one, of all, for None."""
        count = len(self.members)
        if size is None or size >= count:
            return [self]
        slices = [slice(i, i + size) for i in range(0, count, size)]
        return [Drawing(self.batch.part(of), self.members[of]) for of in slices]

    def pinned(self) -> "Drawing":
        """In memory from which a GPU copies without being waited for."""
        return Drawing(self.batch.pinned(), self.members.pin_memory())


@dataclass(frozen=True)
class Losses:
    """of: each sample's loss, (B,). members: (B, G), as the drawing's."""

    of: Tensor
    members: Tensor


@dataclass(frozen=True)
class StageSpec:
    """One trainable stage.

    grid: the sampler's own steps, descending; last: the largest t. make: the network, from torch's
    global generator. loss: (network, batch) -> (B,). validate: what the network, on that device, makes
    of pictures that no stage trains on; None where there are none.
    """

    name: str
    samples: CleanSamples | PairSamples
    grid: Sequence[int]
    last: int
    timestep_sampling: TimestepSampling
    seed: int
    make: Callable[[], nn.Module]
    loss: Callable[[nn.Module, Batch], Tensor]
    validate: Callable[[nn.Module, torch.device], Validated] | None = None

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The names under which the loss is logged apart: tasks, then ranges of t."""
        edges = [-(-i * (self.last + 1) // BUCKETS) for i in range(BUCKETS + 1)]
        ranges = [f"t {low}-{high - 1}" for low, high in itertools.pairwise(edges)]
        return (*self.samples.groups, *ranges)

    def network(self) -> nn.Module:
        """A freshly initialised network; the same weights at every call."""
        key = keyed_generator(self.seed, self.name, "initial weights")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key.initial_seed())
            return self.make()

    def draw(self, numbers: Sequence[int]) -> Drawing:
        """The samples with these numbers, on the CPU."""
        targets, inputs, times, noises, tasks = [], [], [], [], []
        for n in numbers:
            generator = keyed_generator(self.seed, self.name, n)
            drawn = self.samples.draw(self.name, n, generator)
            targets.append(drawn.target)
            if drawn.degraded is not None:
                inputs.append(drawn.degraded)
            times.append(draw_time(self.timestep_sampling, self.grid, self.last, generator))
            noises.append(torch.randn(drawn.target.shape, generator=generator))
            tasks.append(drawn.group)
        batch = Batch(
            torch.stack(targets),
            torch.stack(inputs) if inputs else None,
            torch.tensor(times),
            torch.stack(noises),
        )
        return Drawing(batch, self._members(tasks, times))

    def losses(self, net: nn.Module, drawing: Drawing, device: torch.device) -> Losses:
        members = drawing.members.to(device, non_blocking=True)
        return Losses(self.loss(net, drawing.batch.to(device)), members)

    def _members(self, tasks: Sequence[str], times: Sequence[int]) -> Tensor:
        members = torch.zeros(len(tasks), len(self.groups))
        for row, (task, t) in enumerate(zip(tasks, times, strict=True)):
            members[row, self.samples.groups.index(task)] = 1
            members[row, len(self.samples.groups) + t * BUCKETS // (self.last + 1)] = 1
        return members


def noise_spec(
    samples: CleanSamples | PairSamples,
    settings: TrainNoise,
    diffusion: Diffusion,
    schedule: Schedule,
    seed: int,
    start: Start | None = None,
) -> StageSpec:
    """eps from x_t, beside a condition if there is one; from random weights, or from `start`'s.

    Raises UserError for a conditioning that cannot use the samples.
    """
    paired, conditioning = isinstance(samples, PairSamples), settings.conditioning
    if (conditioning == "input") != paired:
        raise UserError(
            f"train.noise.conditioning: {conditioning!r} learns from "
            + ("pairs, but was given clean photographs" if not paired else "clean photographs")
            + (" alone, but was given pairs" if paired else "")
        )

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        condition = None if conditioning == "none" else batch.degraded
        return process.noise_loss(net, schedule, batch.target, batch.t, batch.noise, condition)

    def make() -> nn.Module:
        net = build(start.config if start else noise_network(settings))
        if start:
            net.load_state_dict(start.weights)
        return adapted(net, settings.parameterization, schedule.steps)

    return StageSpec(
        "noise",
        samples,
        schedule.noise_grid(diffusion.noise_steps)[:-1],
        schedule.start,
        settings.timestep_sampling,
        seed,
        make,
        loss,
    )


def residual_spec(
    samples: PairSamples,
    settings: TrainResidual,
    diffusion: Diffusion,
    schedule: Schedule,
    seed: int,
    method: Method = "drdd",
    start: Weights | None = None,
) -> StageSpec:
    """I_res inside fixed noise; or a rival, on the same samples.

    start: where each of `residual_networks` begins, by part; None for random weights.
    """
    steps = diffusion.residual_steps
    plain: Callable[..., Tensor] = regression_loss
    if method == "drdd":
        rollout = settings.rollout
        plain = partial(rollout_loss, count=steps) if rollout else process.residual_loss

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        assert batch.degraded is not None
        pair = (schedule, batch.target, batch.degraded)
        # The floor, 1/100 of the squared range, keeps nearly clean crops from dominating.
        energy = process.residual_energy(batch.target, batch.degraded) + 0.01
        scale = energy if settings.balance == "relative" else torch.ones_like(energy)
        if method == "coupled":
            of_residual, of_noise = coupled_losses(net, *pair, batch.t, batch.noise)
            return of_residual / scale + of_noise
        return plain(net, *pair, batch.t, batch.noise) / scale

    def make() -> nn.Module:
        networks = residual_networks(settings, diffusion, method)
        nets = {part: build(config) for part, config in networks.items()}
        for part, weights in (start or {}).items():
            nets[part].load_state_dict(weights)
        return TwoNetworks(**nets) if len(nets) == 2 else nets["residual"]

    grid = steps + diffusion.noise_steps if method == "coupled" else steps
    return StageSpec(
        "residual",
        samples,
        schedule.residual_grid(grid)[:-1],
        schedule.steps - 1,
        settings.timestep_sampling,
        seed,
        make,
        loss,
    )


def draw_time(
    mixture: TimestepSampling, grid: Sequence[int], last: int, generator: torch.Generator
) -> int:
    """A step: grid[0] with probability `first`, one of the grid with `grid`, else one of 0..last."""
    u = float(torch.rand((), generator=generator))
    if u < mixture.first:
        return grid[0]
    if u < mixture.first + mixture.grid:
        return grid[int(torch.randint(len(grid), (), generator=generator))]
    return int(torch.randint(last + 1, (), generator=generator))
