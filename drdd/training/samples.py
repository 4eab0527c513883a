"""The n-th training sample: photograph or pair, crop and symmetry, as a pure function of (seed, n)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from drdd.degradations.corruption import corrupt
from drdd.nets.context import context_of
from drdd.pictures.pixels import Pixels
from drdd.pictures.tensors import to_tensor
from drdd.training.order import Crop, crop_alike, item_of


@dataclass(frozen=True)
class Drawn:
    """One sample, (3, crop, crop) in [-1, 1]. degraded: None when there is only a target.

    context: of the whole degraded picture, turned as the crop is, (12, S, S); None without pairs.
    """

    group: str
    target: Tensor
    degraded: Tensor | None
    context: Tensor | None = None


class CleanSamples:
    """Clean photographs without pairs; if `corrupted`, each with a corrupted copy of itself."""

    groups = ("clean",)

    def __init__(
        self, photographs: Sequence[Pixels], crop: int, seed: int, corrupted: bool = False
    ) -> None:
        self._photographs, self._crop, self._seed = photographs, crop, seed
        self._corrupted = corrupted

    def draw(self, stage: str, n: int, generator: torch.Generator) -> Drawn:
        item = item_of(self._seed, stage, n, len(self._photographs))
        (target,) = crop_alike([self._photographs[item]], self._crop, generator)
        return Drawn("clean", target, corrupt(target, generator) if self._corrupted else None)


class PairSamples:
    """Pairs by task. Samples go round the tasks, each of which has its share of every round."""

    def __init__(
        self,
        pairs: Mapping[str, Sequence[tuple[Pixels, Pixels]]],
        crop: int,
        seed: int,
        shares: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """pairs: for each task, (target, degraded) photographs of one size; shares: samples in a round, 1
        unless given.
        """
        self._pairs, self._crop, self._seed = pairs, crop, seed
        self._contexts: dict[tuple[str, int], Tensor] = {}
        self.groups = tuple(sorted(pairs))
        self._shares = {task: shares.get(task, 1) for task in self.groups}
        turns = [(task, k) for task, share in self._shares.items() for k in range(share)]
        self._round = sorted(turns, key=lambda turn: (turn[1] + 0.5) / self._shares[turn[0]])

    def draw(self, stage: str, n: int, generator: torch.Generator) -> Drawn:
        number, place = divmod(n, len(self._round))
        task, k = self._round[place]
        turn = number * self._shares[task] + k
        item = item_of(self._seed, f"{stage}/{task}", turn, len(self._pairs[task]))
        target, degraded = self._pairs[task][item]
        crop = Crop.drawn(target.shape, self._crop, generator)
        # Pictures of different sizes show different scenes: each is cropped at a place of its own.
        alike = target.shape == degraded.shape
        of_input = crop if alike else Crop.drawn(degraded.shape, self._crop, generator)
        context = of_input.turned(self._context(task, item, degraded))
        return Drawn(task, crop.of(target), of_input.of(degraded), context)

    def _context(self, task: str, item: int, degraded: Pixels) -> Tensor:
        """Computed once a picture, and kept: 24 kB each."""
        if (task, item) not in self._contexts:
            self._contexts[task, item] = context_of(to_tensor(degraded)[None])[0]
        return self._contexts[task, item]
