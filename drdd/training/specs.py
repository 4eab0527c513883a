"""The spec of a trainable stage: it turns sample numbers into losses.

Everything about the n-th sample of a run (photograph, crop, symmetry, t, eps) is a pure function of
(seed, stage, n), independent of workers and restarts.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from drdd.checkpoints.pretrained import AccountRow
from drdd.diffusion.keyed import keyed_generator
from drdd.diffusion.process import Conditioning, in_context
from drdd.errors import UserError
from drdd.methods.method import Batch, Method
from drdd.nets.families import NetworkConfig, build
from drdd.params import TimestepSampling, TrainNoise, TrainResidual
from drdd.training.samples import CleanSamples, PairSamples
from drdd.training.settings import objective_of
from drdd.training.validation import Validated

BUCKETS = 4  # ranges of t, each with a logged loss of its own


@dataclass(frozen=True)
class InitialWeights:
    """Networks and their weights, by name, from which a stage begins instead of random weights.

    account: of all values of another program's checkpoint; () for a model of drdd.
    """

    networks: Mapping[str, NetworkConfig]
    weights: Mapping[str, Mapping[str, Tensor]]
    account: tuple[AccountRow, ...] = ()


@dataclass(frozen=True)
class Drawing:
    """The samples of a training step. group_mask: (B, G), 1 where a sample belongs to a group."""

    batch: Batch
    group_mask: Tensor

    def parts(self, size: int | None) -> "list[Drawing]":
        """Split into parts of `size` samples, the last maybe smaller; None: one part."""
        count = len(self.group_mask)
        if size is None or size >= count:
            return [self]
        slices = [slice(i, i + size) for i in range(0, count, size)]
        return [Drawing(self.batch.part(of), self.group_mask[of]) for of in slices]

    def pinned(self) -> "Drawing":
        """A copy in pinned memory, from which a GPU copies asynchronously."""
        return Drawing(self.batch.pinned(), self.group_mask.pin_memory())


@dataclass(frozen=True)
class Losses:
    """of: the loss of each sample, (B,); group_mask: (B, G), of the drawing."""

    of: Tensor
    group_mask: Tensor


@dataclass(frozen=True)
class StageSpec:
    """One trainable stage.

    grid: the sampler's steps, descending; last: the largest t; make: makes the network, with torch's global
    generator; loss: (network, batch) -> (B,); validate: (network, device) -> the validation on held-out
    pictures, None without any.
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
        """The names of the groups whose losses are logged: tasks, then ranges of t."""
        edges = [-(-i * (self.last + 1) // BUCKETS) for i in range(BUCKETS + 1)]
        ranges = [f"t {low}-{high - 1}" for low, high in itertools.pairwise(edges)]
        return (*self.samples.groups, *ranges)

    def network(self) -> nn.Module:
        """A newly initialised network, with the same weights at every call."""
        key = keyed_generator(self.seed, self.name, "initial weights")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key.initial_seed())
            return self.make()

    def draw(self, numbers: Sequence[int]) -> Drawing:
        """The samples with these numbers, on the CPU."""
        targets, inputs, contexts, times, noises, tasks = [], [], [], [], [], []
        for n in numbers:
            generator = keyed_generator(self.seed, self.name, n)
            drawn = self.samples.draw(self.name, n, generator)
            targets.append(drawn.target)
            if drawn.degraded is not None:
                inputs.append(drawn.degraded)
            if drawn.context is not None:
                contexts.append(drawn.context)
            times.append(draw_time(self.timestep_sampling, self.grid, self.last, generator))
            noises.append(torch.randn(drawn.target.shape, generator=generator))
            tasks.append(drawn.group)
        batch = Batch(
            torch.stack(targets),
            torch.stack(inputs) if inputs else None,
            torch.tensor(times),
            torch.stack(noises),
            torch.stack(contexts) if contexts else None,
        )
        return Drawing(batch, self._group_mask(tasks, times))

    def losses(self, net: nn.Module, drawing: Drawing, device: torch.device) -> Losses:
        mask = drawing.group_mask.to(device, non_blocking=True)
        return Losses(self.loss(net, drawing.batch.to(device)), mask)

    def _group_mask(self, tasks: Sequence[str], times: Sequence[int]) -> Tensor:
        mask = torch.zeros(len(tasks), len(self.groups))
        for row, (task, t) in enumerate(zip(tasks, times, strict=True)):
            mask[row, self.samples.groups.index(task)] = 1
            mask[row, len(self.samples.groups) + t * BUCKETS // (self.last + 1)] = 1
        return mask


def stage_spec(
    stage: str,
    method: Method,
    samples: CleanSamples | PairSamples,
    settings: TrainNoise | TrainResidual,
    seed: int,
    initial: InitialWeights | None = None,
) -> StageSpec:
    """The spec of a stage of `method`.

    initial: networks to begin from instead of random weights; they replace those of `settings`. Raises
    UserError for a conditioning that cannot use the samples.
    """
    if isinstance(settings, TrainNoise):
        _refuse_samples(settings.conditioning, paired=isinstance(samples, PairSamples))
    networks = (
        method.networks(stage, settings.network.model_dump())
        if initial is None
        else initial.networks
    )
    takes = any(config.context for config in networks.values())
    objective = objective_of(settings)

    def make() -> nn.Module:
        nets = {}
        for name, config in networks.items():
            net = build(config)
            if initial:
                net.load_state_dict(initial.weights[name])
            nets[name] = method.adapt(name, net)
        return method.join(nets)

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        return method.loss(
            stage, in_context(net, batch.context if takes else None), batch, objective
        )

    return StageSpec(
        stage,
        samples,
        method.timesteps(stage),
        method.last_timestep(stage),
        settings.timestep_sampling,
        seed,
        make,
        loss,
    )


def _refuse_samples(conditioning: Conditioning, paired: bool) -> None:
    if (conditioning == "input") != paired:
        raise UserError(
            f"train.noise.conditioning: {conditioning!r} learns from "
            + ("pairs, but was given clean photographs" if not paired else "clean photographs")
            + (" alone, but was given pairs" if paired else "")
        )


def draw_time(
    mixture: TimestepSampling, grid: Sequence[int], last: int, generator: torch.Generator
) -> int:
    """Draw a step: grid[0] with probability `first`, any of the grid with `grid`, else any of 0..last."""
    u = float(torch.rand((), generator=generator))
    if u < mixture.first:
        return grid[0]
    if u < mixture.first + mixture.grid:
        return grid[int(torch.randint(len(grid), (), generator=generator))]
    return int(torch.randint(last + 1, (), generator=generator))
