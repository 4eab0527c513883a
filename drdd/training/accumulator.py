"""Sums of training metrics since the last point, kept on the device so that no step waits for it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from drdd.training.learner import StepResult


@dataclass(frozen=True)
class IntervalStats:
    """The metrics of one interval between two points.

    means: loss, loss/<group> and grad_norm over the steps that were not skipped; bad: the skipped steps,
    each with those samples of this worker whose loss was not finite.
    """

    means: Mapping[str, float]
    bad: Mapping[int, Sequence[int]]


class MetricAccumulator:
    """Sums since the last `close`, over all workers.

    The tensors are the same on every worker, so the checkpoint of one worker saves an open interval.
    """

    def __init__(self, groups: Sequence[str], device: torch.device) -> None:
        self._names = ("loss", *(f"loss/{group}" for group in groups))
        self._sums = torch.zeros(2, len(self._names), device=device)
        self._norms = torch.zeros(2, device=device)
        self._steps: list[tuple[int, range, Tensor, Tensor]] = []

    def state(self) -> dict[str, Any]:
        skipped = [step for step, _, finite, _ in self._steps if not finite]
        return {"sums": self._sums, "norms": self._norms, "skipped": skipped}

    def load(self, state: Mapping[str, Any]) -> None:
        self._sums.copy_(state["sums"])
        self._norms.copy_(state["norms"])
        no = torch.tensor(False, device=self._sums.device)
        none = torch.ones(0, dtype=torch.bool)
        self._steps = [(step, range(0), no, none) for step in state["skipped"]]

    def add(self, step: int, numbers: range, learned: StepResult) -> None:
        """numbers: the sample numbers of this worker."""
        finite = torch.isfinite(learned.norm) & torch.isfinite(learned.sums[0, 0])
        self._sums += torch.where(finite, learned.sums, 0.0)
        norm = torch.stack([learned.norm, torch.ones_like(learned.norm)])
        self._norms += torch.where(finite, norm, 0.0)
        self._steps.append((step, numbers, finite, torch.isfinite(learned.of)))

    def close(self) -> IntervalStats:
        """Return the statistics and reset the sums. This waits for the device."""
        sums, counts = self._sums.tolist()
        norm, steps = self._norms.tolist()
        means = {
            name: total / count
            for name, total, count in zip(self._names, sums, counts, strict=True)
            if count
        }
        means["grad_norm"] = norm / steps if steps else math.nan
        finite = torch.stack([finite for _, _, finite, _ in self._steps]).tolist()
        bad = {
            step: [n for n, good in zip(numbers, samples.tolist(), strict=True) if not good]
            for (step, numbers, _, samples), well in zip(self._steps, finite, strict=True)
            if not well
        }
        self._sums, self._norms = torch.zeros_like(self._sums), torch.zeros_like(self._norms)
        self._steps = []
        return IntervalStats(means, bad)
