"""Near duplicates: the same picture after recompression, scaling or a slight crop.

The difference of two pictures is d = |a - b| / max(|a - mean(a)|, |b - mean(b)|), with Euclidean norms
of their thumbnails a and b, (16, 16, 3): the distance relative to their contrast. Recompression, scaling
and a trim of one or two percent mostly give d below 0.1; different photographs give about 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drdd.pictures.pixels import THUMBNAIL, Pixels

COARSE = 4  # thumbnails of 4 x 4 are compared first
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class NearMatch:
    """index: of the nearest picture, in order of addition; difference: d."""

    index: int
    difference: float


class NearDuplicates:
    """An index of thumbnails, searched for the nearest to a new one."""

    def __init__(self, threshold: float) -> None:
        """threshold: the largest d at which two pictures count as duplicates."""
        self._threshold = threshold
        self._count = 0
        self._seen = _Vectors.of(np.empty((0, THUMBNAIL, THUMBNAIL, 3), np.uint8))

    def add(self, thumbnail: Pixels) -> None:
        """thumbnail: (16, 16, 3) uint8."""
        self._append(_Vectors.of(thumbnail[None]))

    def nearest(self, thumbnail: Pixels) -> NearMatch | None:
        """The nearest of the added pictures, or None when none is within the threshold."""
        one = _Vectors.of(thumbnail[None])
        return self._best(one, 0, np.flatnonzero(self._candidates(one)[0]))

    def match_or_add(self, thumbnails: Pixels) -> list[NearMatch | None]:
        """Find the `nearest` of each of (B, 16, 16, 3) in turn, and add each that has no match."""
        batch, before = _Vectors.of(thumbnails), self._count
        candidates = self._candidates(batch)
        found = []
        for row in range(len(thumbnails)):
            added = np.arange(before, self._count)
            match = self._best(batch, row, np.append(np.flatnonzero(candidates[row]), added))
            if match is None:
                self._append(batch.at(slice(row, row + 1)))
            found.append(match)
        return found

    def _candidates(self, batch: "_Vectors") -> NDArray[np.bool_]:
        """(B, pictures added) bool: whether they may be within the threshold.

        Averaging blocks never lengthens a difference, so the coarse vectors miss no candidate; a margin
        allows for rounding.
        """
        seen = self._seen.at(slice(0, self._count))
        squares = (seen.coarse**2).sum(axis=1) + (batch.coarse**2).sum(axis=1)[:, None]
        distances = squares - 2 * (batch.coarse @ seen.coarse.T)
        reach = self._threshold * np.maximum(seen.contrast, batch.contrast[:, None])
        result: NDArray[np.bool_] = distances <= reach**2 + 1e-5 * squares + 1
        return result

    def _best(self, batch: "_Vectors", row: int, candidates: NDArray[np.intp]) -> NearMatch | None:
        if not len(candidates):
            return None
        distances = np.linalg.norm(self._seen.fine[candidates] - batch.fine[row], axis=1)
        contrast = np.maximum(self._seen.contrast[candidates], batch.contrast[row])
        differences = distances / np.maximum(contrast, 1e-6)
        best = int(np.argmin(differences))
        if differences[best] > self._threshold:
            return None
        return NearMatch(int(candidates[best]), float(differences[best]))

    def _append(self, one: "_Vectors") -> None:
        if self._count == len(self._seen.contrast):
            self._seen = self._seen.enlarged()
        for name in ("fine", "coarse", "contrast"):
            getattr(self._seen, name)[self._count] = getattr(one, name)[0]
        self._count += 1


@dataclass(frozen=True)
class _Vectors:
    """The vectors of n pictures.

    fine: (n, 768), the pixels; coarse: (n, 48), block means, scaled so that their distances are lower
    bounds of the fine distances; contrast: (n,).
    """

    fine: Vectors
    coarse: Vectors
    contrast: Vectors

    @classmethod
    def of(cls, thumbnails: Pixels) -> "_Vectors":
        images = thumbnails.astype(np.float32)
        side, count = THUMBNAIL // COARSE, len(images)
        blocks = images.reshape(count, COARSE, side, COARSE, side, 3).mean(axis=(2, 4))
        fine = images.reshape(count, THUMBNAIL * THUMBNAIL * 3)
        contrast = np.linalg.norm(fine - fine.mean(axis=1, keepdims=True), axis=1)
        return cls(fine, blocks.reshape(count, COARSE * COARSE * 3) * side, contrast)

    def at(self, rows: slice) -> "_Vectors":
        return _Vectors(self.fine[rows], self.coarse[rows], self.contrast[rows])

    def enlarged(self) -> "_Vectors":
        more = max(1024, len(self.contrast))
        return _Vectors(
            *(
                np.concatenate([old, np.empty((more, *old.shape[1:]), np.float32)])
                for old in (self.fine, self.coarse, self.contrast)
            )
        )
