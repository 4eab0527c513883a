"""Measures restored pictures with all metrics of the catalogue.

A metric whose weights are not on disk is listed in `not_computed` with the reason.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
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
INPUT, REFERENCE, OUTPUT, TARGET = "input", "reference", "output", "target"
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

    def pictures(self, task: str, parts: Mapping[str, Pixels], target: Pixels) -> dict[str, Scores]:
        """The scores of each part (INPUT, REFERENCE, OUTPUT) against the target, (H, W, 3) uint8 each.

        NaN when a picture is too small for a metric. Raises ValueError when they cannot be compared.
        """
        for picture in parts.values():
            check_pair(picture, target, self._crop_border)
        kept = slice(self._crop_border, -self._crop_border or None)
        seen = {
            side: Observed(picture[kept, kept])
            for side, picture in {**parts, TARGET: target}.items()
        }
        with ThreadPoolExecutor(1) as beside:  # networks take as long as all else
            embedded = beside.submit(self._embed, task, seen)
            scores = {
                part: {
                    name: score(seen[part], seen[TARGET]) for name, score in self._scores.items()
                }
                for part in parts
            }
            embedded.result()
        return scores

    def sets(self) -> dict[str, dict[str, Scores]]:
        """The set distances of all pictures so far to their targets, by task and part."""
        found = sorted({(task, side) for _, task, side in self._features if side != TARGET})
        sets: dict[str, dict[str, Scores]] = {task: {} for task, _ in found}
        for task, part in found:
            sets[task][part] = self._of_set(task, part)
        return sets

    def _embed(self, task: str, seen: Mapping[str, Observed]) -> None:
        for name, distance in self._distances.items():
            for side, observed in seen.items():
                if (features := distance.embed(observed)) is not None:
                    self._features.setdefault((name, task, side), []).append(features)

    def _of_set(self, task: str, part: str) -> Scores:
        found = {}
        for name, distance in self._distances.items():
            sides = [self._features.get((name, task, side), []) for side in (part, TARGET)]
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
