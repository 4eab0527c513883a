"""Large pictures in bounded memory: a network is applied to overlapping tiles, blended linearly.

Only the calls of a network are tiled, not the sampler: all tiles agree on every state on the way. Group
norms are told the whole picture's statistics, which are found in three passes (norms.py):

1. a sample of the picture, a lattice of small windows, is normalised jointly;
2. with its statistics all tiles are run, and the picture's are measured: true of the first norm, but of
   each norm after others that followed the sample;
3. the sample is run again, each norm corrected by what sample and picture were found to differ.

Then the tiles are run once more, for the output: two passes over the picture in all. A network with
attention over all pixels attends within a tile alone; its tiles differ more.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from types import EllipsisType

import torch
from torch import Tensor, nn

from drdd.inference.norms import (
    Corrected,
    Joint,
    Known,
    Measured,
    fixed,
    group_norms,
    norms_of,
)


@dataclass(frozen=True)
class Tiles:
    """In pixels, all of them multiples of what the network needs.

    size: the largest side of a tile. A network of the default size needs some 0.6 GB for 768 x 768.
    overlap: of neighbours. Half of it is more than the 78 pixels to which the default network sees,
        so where a tile counts, the tile's border is not seen.
    blend: the middle of an overlap, in which one tile fades into the next; narrower than the overlap by
        twice what the network needs.
    measured: the overlap of tiles that are only measured, where a border matters little.
    window, lattice: the side of a window of the sample, and how many there are along each axis: of as
        many pixels together as a tile. Not evenly up to the borders, whose pixels would count too often.
    """

    size: int = 768
    overlap: int = 192
    blend: int = 32
    measured: int = 64
    window: int = 128
    lattice: int = 6


@dataclass(frozen=True)
class Tile:
    """Along one axis: pixels [start, stop) are seen, [inner, outer) are this tile's own share."""

    start: int
    stop: int
    inner: int
    outer: int

    def ramp(self, blend: int) -> Tensor:
        """(stop - start,) weights: a line from 0 to 1, `blend` wide, around `inner`; so at `outer`.

        At a border of the picture there is nothing to blend with. All tiles' ramps sum to 1.
        """
        position = torch.arange(self.start, self.stop) + 0.5
        rising = (position - self.inner) / blend + 0.5
        falling = (self.outer - position) / blend + 0.5
        one = torch.ones_like(position)
        return torch.minimum(
            rising if self.inner > self.start else one, falling if self.outer < self.stop else one
        ).clamp(0, 1)


def tiles(length: int, size: int, overlap: int, grid: int) -> list[Tile]:
    """As few as cover [0, length), of one length <= size, overlapping by `overlap` or more.

    All starts are multiples of `grid`, if length, size and overlap are.
    """
    if length <= size:
        return [Tile(0, length, 0, length)]
    count = -(-(length - overlap) // (size - overlap))
    each = -(-(length + (count - 1) * overlap) // (count * grid)) * grid
    starts = [min(i * (each - overlap), length - each) for i in range(count)]
    middles = [
        (left + each + right) // (2 * grid) * grid for left, right in itertools.pairwise(starts)
    ]
    shares = itertools.pairwise([0, *middles, length])
    return [
        Tile(start, start + each, inner, outer)
        for start, (inner, outer) in zip(starts, shares, strict=True)
    ]


class TiledNet:
    """A network (a `Net` of the method) for pictures of any size that is a multiple of `factor`.

    What is no larger than a tile goes through whole, as a batch; what is larger, one at a time.
    """

    def __init__(self, net: nn.Module, factor: int, sizes: Tiles) -> None:
        self._net, self._factor, self._sizes = net, factor, sizes
        self._normalises = bool(group_norms(net))

    def __call__(self, x: Tensor, time: Tensor) -> Tensor:
        if max(x.shape[-2:]) <= self._sizes.size:
            return self._run(x, time)
        known = self._statistics(x, time) if self._normalises else {}
        total: Tensor | None = None
        with norms_of(self._net, fixed(known)):
            for rows, columns in self._cut(x, self._sizes.overlap):
                result = self._run(x[_window(rows, columns)], time)
                if total is None:
                    total = result.new_zeros(*result.shape[:2], *x.shape[-2:])
                blend = self._sizes.blend
                weight = rows.ramp(blend)[:, None] * columns.ramp(blend)
                total[_window(rows, columns)] += result * weight.to(result)
        assert total is not None
        return total

    def _run(self, x: Tensor, time: Tensor) -> Tensor:
        told = time.expand(len(x))
        result: Tensor = self._net(x.contiguous(memory_format=torch.channels_last), told)
        return result.float()

    def _cut(self, x: Tensor, overlap: int) -> Iterator[tuple[Tile, Tile]]:
        size, factor = self._sizes.size, self._factor
        rows, columns = (tiles(n, size, overlap, factor) for n in x.shape[-2:])
        return itertools.product(rows, columns)

    def _statistics(self, x: Tensor, time: Tensor) -> Known:
        windows = self._lattice(x)
        sample = Joint()
        with norms_of(self._net, sample):
            self._run(windows, time)
        picture = Measured(sample.found)
        with norms_of(self._net, picture):
            for rows, columns in self._cut(x, self._sizes.measured):
                picture.own = partial(_share, rows, columns)
                self._run(x[_window(rows, columns)], time)
        corrected = Corrected(sample.found, picture.found)
        with norms_of(self._net, corrected):
            self._run(windows, time)
        return corrected.found

    def _lattice(self, x: Tensor) -> Tensor:
        """(B, C, h, w): windows in the middle of each cell of a lattice over the picture."""
        side = self._sizes.window
        height, width = (min(side, n) for n in x.shape[-2:])
        corners = itertools.product(*(self._starts(n, min(side, n)) for n in x.shape[-2:]))
        return torch.cat([x[..., i : i + height, j : j + width] for i, j in corners])

    def _starts(self, length: int, side: int) -> list[int]:
        """Of the windows along one axis; fewer where the picture has not the room."""
        count, factor = self._sizes.lattice, self._factor
        middles = (int((i + 0.5) * length / count) for i in range(count))
        starts = (min(max(0, middle - side // 2), length - side) for middle in middles)
        return sorted({start // factor * factor for start in starts})


def _window(rows: Tile, columns: Tile) -> tuple[EllipsisType, slice, slice]:
    return ..., slice(rows.start, rows.stop), slice(columns.start, columns.stop)


def _share(rows: Tile, columns: Tile, h: Tensor) -> Tensor:
    """Of h, a network's map of the tile at any scale: what lies in the tile's own share."""
    scale = (rows.stop - rows.start) // h.shape[-2]
    inner = (
        slice((along.inner - along.start) // scale, (along.outer - along.start) // scale)
        for along in (rows, columns)
    )
    return h[..., next(inner), next(inner)]
