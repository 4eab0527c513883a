"""The n-th training sample: photograph or pair, crop and symmetry, as a pure function of (seed, n)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from drdd.degradations.corruption import corrupt
from drdd.pictures.pixels import Pixels
from drdd.training.order import crop_alike, item_of


@dataclass(frozen=True)
class Drawn:
    """One sample, (3, crop, crop) in [-1, 1]. degraded: None when there is only a target."""

    group: str
    target: Tensor
    degraded: Tensor | None


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
    """Pairs by task. Samples cycle through the tasks, so that each has an equal share."""

    def __init__(
        self, pairs: Mapping[str, Sequence[tuple[Pixels, Pixels]]], crop: int, seed: int
    ) -> None:
        """pairs: for each task, (target, degraded) photographs of one size."""
        self._pairs, self._crop, self._seed = pairs, crop, seed
        self.groups = tuple(sorted(pairs))

    def draw(self, stage: str, n: int, generator: torch.Generator) -> Drawn:
        turn, which = divmod(n, len(self.groups))
        task = self.groups[which]
        pair = self._pairs[task][
            item_of(self._seed, f"{stage}/{task}", turn, len(self._pairs[task]))
        ]
        target, degraded = self._crops(*pair, generator)
        return Drawn(task, target, degraded)

    def _crops(self, target: Pixels, degraded: Pixels, generator: torch.Generator) -> list[Tensor]:
        """Crop both at the same place, or independently when their sizes, so their scenes, differ."""
        if target.shape == degraded.shape:
            return crop_alike([target, degraded], self._crop, generator)
        return [crop_alike([one], self._crop, generator)[0] for one in (target, degraded)]
