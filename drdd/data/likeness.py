"""Near duplicates: pictures that show the same thing, but for recompression, scaling, a slight crop.

Two pictures differ by d = |a - b| / max(|a - mean(a)|, |b - mean(b)|), Euclidean norms of their
thumbnails (16, 16, 3): the share of their contrast. Recompressed, scaled or trimmed by a pixel or two
in a hundred, d is below 0.1; of different photographs it is about 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drdd.data.intake import THUMBNAIL, Pixels

COARSE = 4  # thumbnails of 4 x 4 are compared first
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Like:
    """index: of the picture that is nearest, in order of addition; difference: d."""

    index: int
    difference: float


class Likeness:
    """The pictures seen so far, searched for the nearest to a new one."""

    def __init__(self, threshold: float) -> None:
        """threshold: the largest d of pictures that count as one."""
        self._threshold = threshold
        self._count = 0
        self._fine = np.empty((0, THUMBNAIL * THUMBNAIL * 3), np.float32)
        self._coarse = np.empty((0, COARSE * COARSE * 3), np.float32)
        self._contrast = np.empty(0, np.float32)

    def add(self, thumbnail: Pixels) -> None:
        """thumbnail: (16, 16, 3) uint8."""
        if self._count == len(self._contrast):
            self._grow()
        fine, coarse, contrast = _vectors(thumbnail)
        self._fine[self._count] = fine
        self._coarse[self._count] = coarse
        self._contrast[self._count] = contrast
        self._count += 1

    def nearest(self, thumbnail: Pixels) -> Like | None:
        """The most alike of the pictures added, None when none is within the threshold."""
        fine, coarse, contrast = _vectors(thumbnail)
        n = self._count
        reach = self._threshold * np.maximum(self._contrast[:n], contrast)
        # Averaging blocks never lengthens a difference, so nothing within reach is lost here.
        candidates = np.flatnonzero(_distances(self._coarse[:n], coarse) <= reach + 1e-3)
        if not len(candidates):
            return None
        distances = _distances(self._fine[candidates], fine)
        within = distances <= reach[candidates]
        if not within.any():
            return None
        larger = np.maximum(np.maximum(self._contrast[candidates], contrast), 1e-6)
        differences = np.where(within, distances / larger, np.inf)
        best = int(np.argmin(differences))
        return Like(int(candidates[best]), float(differences[best]))

    def _grow(self) -> None:
        more = max(1024, self._count)
        self._fine = np.concatenate([self._fine, np.empty((more, self._fine.shape[1]), np.float32)])
        self._coarse = np.concatenate(
            [self._coarse, np.empty((more, self._coarse.shape[1]), np.float32)]
        )
        self._contrast = np.concatenate([self._contrast, np.empty(more, np.float32)])


def _vectors(thumbnail: Pixels) -> tuple[Vectors, Vectors, float]:
    """Fine and coarse vectors, and the contrast."""
    image = thumbnail.astype(np.float32)
    side = THUMBNAIL // COARSE
    blocks = image.reshape(COARSE, side, COARSE, side, 3).mean(axis=(1, 3))
    fine = image.ravel()
    return fine, blocks.ravel() * side, float(np.linalg.norm(fine - fine.mean()))


def _distances(many: Vectors, one: Vectors) -> Vectors:
    difference = many - one
    result: Vectors = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return result
