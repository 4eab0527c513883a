"""Measures restored pictures with all metrics of the catalogue.

A metric whose weights are not on disk is listed in `not_computed` with the reason.
"""

from math import isfinite
from pathlib import Path

import torch
from torch import Tensor

from drdd.metrics.catalogue import (
    METRICS,
    Metric,
    PictureMetric,
    Score,
    SetDistance,
    SetMetric,
)
from drdd.metrics.fidelity import check_pair
from drdd.metrics.observed import Observed
from drdd.pictures.pixels import Pixels

FEWEST = 2  # pictures of a set
Scores = dict[str, float]


class Measures:
    """Takes the pictures of tasks one by one, and keeps their features only."""

    def __init__(self, crop_border: int = 0, weights: Path | None = None) -> None:
        """weights: the folder of metrics.weights. Raises UserError when a file in it is damaged."""
        self._crop_border = crop_border
        self.not_computed: dict[str, str] = {}
        self.protocol: dict[str, object] = {}
        """How each metric is computed, in a sentence."""
        self._scores: dict[str, Score] = {}
        self._distances: dict[str, SetDistance] = {}
        for metric in METRICS.values():
            self._load(metric, weights)
        self.protocol["crop_border"] = crop_border
        self._features: dict[tuple[str, str, str], list[Tensor]] = {}

    def pair(
        self, task: str, degraded: Pixels, output: Pixels, target: Pixels
    ) -> tuple[Scores, Scores]:
        """The scores of input and output against the target, (H, W, 3) uint8 each.

        NaN when a picture is too small for a metric. Raises ValueError when they cannot be compared.
        """
        for picture in (degraded, output):
            check_pair(picture, target, self._crop_border)
        kept = slice(self._crop_border, -self._crop_border or None)
        seen = {
            side: Observed(picture[kept, kept])
            for side, picture in (("input", degraded), ("output", output), ("target", target))
        }
        for name, distance in self._distances.items():
            for side, observed in seen.items():
                if (features := distance.embed(observed)) is not None:
                    self._features.setdefault((name, task, side), []).append(features)
        before, after = (
            {name: score(seen[side], seen["target"]) for name, score in self._scores.items()}
            for side in ("input", "output")
        )
        return before, after

    def sets(self) -> dict[str, dict[str, Scores]]:
        """The set distances of all pictures so far to their targets, by task and part (input, output)."""
        tasks = sorted({task for _, task, _ in self._features})
        return {
            task: {part: self._of_set(task, part) for part in ("input", "output")} for task in tasks
        }

    def _of_set(self, task: str, part: str) -> Scores:
        found = {}
        for name, distance in self._distances.items():
            sides = [self._features.get((name, task, side), []) for side in (part, "target")]
            if len(sides[0]) >= FEWEST:
                value = distance.distance(*(torch.stack(side) for side in sides))
                if isfinite(value):
                    found[name] = round(value, 6)
        return found

    def _load(self, metric: Metric, folder: Path | None) -> None:
        path = folder / metric.file if folder and metric.file else None
        if metric.file and not (path and path.is_file()):
            said = f"{folder} has no {metric.file}" if folder else "metrics.weights names no folder"
            self.not_computed[metric.name] = f"{said}; it needs {metric.file} (docs/evaluation.md)"
            return
        self.protocol |= metric.sentences
        if isinstance(metric, PictureMetric):
            self._scores[metric.name] = metric.load(path)
        elif isinstance(metric, SetMetric):
            self._distances[metric.name] = metric.load(path)
