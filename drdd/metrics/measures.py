"""All that evaluation measures of a restored picture and of the set of a task's pictures.

A metric whose weights are not on disk is named in `not_computed`, with the reason, and has no number.
"""

from math import isfinite, nan
from pathlib import Path

import torch
from torch import Tensor

from drdd.metrics import inception, lpips
from drdd.metrics.distances import frechet
from drdd.metrics.features import SIDE
from drdd.metrics.fidelity import PROTOCOL, Pixels, score
from drdd.metrics.ms_ssim import ms_ssim
from drdd.metrics.niqe import niqe
from drdd.metrics.perception import Perception, distance

FEWEST = 2  # pictures of a set
Scores = dict[str, float]

NAMES = {
    "ms_ssim": "SSIM at five scales, mean over RGB (Wang et al. 2003)",
    "feature_distance": "of unit-length feature maps of EfficientNet-Lite0, at five depths; not LPIPS",
    "niqe": "no target (Mittal et al. 2013), luma rounded, blocks of 96 x 96",
    "lpips": "version 0.1, AlexNet",
    "frechet_features": "Frechet distance of pooled EfficientNet-Lite0 features, all pictures; not FID",
    "fid": "Frechet distance of Inception's 2048 features, all pictures of the task",
    "kid": "unbiased, cubic kernel, Inception's 2048 features, all pictures of the task",
}


class Measures:
    """Takes a task's pictures one by one; keeps their features, not the pictures."""

    def __init__(self, crop_border: int = 0, weights: Path | None = None) -> None:
        """weights: the folder of metrics.weights. Raises UserError when a file in it is damaged."""
        self._crop_border = crop_border
        self._perception = Perception()
        self.not_computed: dict[str, str] = {}
        found = self._found(weights, lpips.FILE, "lpips")
        self._lpips = found and lpips.Lpips(found)
        found = self._found(weights, inception.FILE, "fid", "kid")
        self._inception = found and inception.Inception(found)
        self._features: dict[tuple[str, str, str], list[Tensor]] = {}

    @property
    def protocol(self) -> dict[str, object]:
        """How each metric is computed, in a sentence."""
        computed = {name: said for name, said in NAMES.items() if name not in self.not_computed}
        return {**PROTOCOL, **computed, "crop_border": self._crop_border}

    def pair(
        self, task: str, degraded: Pixels, output: Pixels, target: Pixels
    ) -> tuple[Scores, Scores]:
        """What the input and the output score against the target, (H, W, 3) uint8 each.

        NaN where a picture is too small for a metric. Raises ValueError when they cannot be compared.
        """
        kept = slice(self._crop_border, -self._crop_border or None)
        pictures = tuple(picture[kept, kept] for picture in (degraded, output, target))
        distances = self._perceived(task, *pictures)
        scored = []
        for whole, cropped, perceived in zip((degraded, output), pictures, distances, strict=False):
            found: Scores = dict(vars(score(whole, target, self._crop_border)))
            found["ms_ssim"] = ms_ssim(cropped, pictures[2])
            found["feature_distance"] = perceived
            found["niqe"] = niqe(cropped)
            if self._lpips:
                large = min(cropped.shape[:2]) >= lpips.SIDE
                found["lpips"] = self._lpips(cropped, pictures[2]) if large else nan
            scored.append(found)
        return scored[0], scored[1]

    def sets(self) -> dict[str, dict[str, Scores]]:
        """By task and part (input, output): the distances of all pictures taken to their targets."""
        found: dict[str, dict[str, Scores]] = {}
        for task in sorted({task for _, task, _ in self._features}):
            for part in ("input", "output"):
                here = {}
                for space in ("perception", "inception"):
                    sides = [
                        self._features.get((space, task, side), []) for side in (part, "target")
                    ]
                    if len(sides[0]) < FEWEST:
                        continue
                    a, b = (torch.stack(side) for side in sides)
                    if space == "perception":
                        here["frechet_features"] = frechet(a, b)
                    else:
                        here |= {"fid": inception.fid(a, b), "kid": inception.kid(a, b)}
                found.setdefault(task, {})[part] = {
                    name: round(value, 6) for name, value in here.items() if isfinite(value)
                }
        return found

    def _perceived(
        self, task: str, degraded: Pixels, output: Pixels, target: Pixels
    ) -> tuple[float, float]:
        pictures = {"input": degraded, "output": output, "target": target}
        if self._inception:
            for side, pixels in pictures.items():
                self._keep("inception", task, side, self._inception(pixels))
        if min(target.shape[:2]) < SIDE:
            return nan, nan
        maps, pooled = self._perception.look(degraded, output, target)
        for side, features in zip(pictures, pooled, strict=True):
            self._keep("perception", task, side, features)
        return distance(maps, 0, 2), distance(maps, 1, 2)

    def _keep(self, space: str, task: str, side: str, features: Tensor) -> None:
        self._features.setdefault((space, task, side), []).append(features)

    def _found(self, folder: Path | None, file: str, *metrics: str) -> Path | None:
        if folder is not None and (folder / file).is_file():
            return folder / file
        where = "metrics.weights names no folder" if folder is None else f"{folder} has no {file}"
        for metric in metrics:
            self.not_computed[metric] = f"{where}; it needs {file} (docs/evaluation.md)"
        return None
