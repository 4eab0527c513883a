"""Large pictures in bounded memory: a network is applied to overlapping tiles, blended linearly.

Only the calls of a network are tiled, not the sampler, so all tiles share every state of the trajectory.
Group norms use the statistics of the whole picture, which are found in three passes (norms.py):

1. Run a sample of the picture, a lattice of small windows, and normalise it jointly.
2. Run all tiles with the statistics of the sample and measure those of the picture. They are exact only for
   the first norm, because the later ones follow norms that used the sample.
3. Run the sample again, with each norm corrected by the difference between sample and picture.

Then run the tiles once more for the output: two passes over the picture in all. Attention over all pixels
is limited to a tile, so the tiles of networks with such attention differ more.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from threading import Lock
from types import EllipsisType

import torch
from torch import Tensor, nn

from drdd.inference.norms import (
    Corrected,
    Joint,
    Known,
    Measured,
    Rule,
    fixed,
    group_norms,
    norms_of,
)


@dataclass(frozen=True)
class Tiles:
    """Sizes in pixels, all multiples of the network's factor.

    size: the largest side of a tile. A network of the default size needs about 0.6 GB for 768 x 768.
    overlap: of neighbouring tiles. Half of it exceeds the receptive radius of the default network, 78
        pixels, so the border of a tile does not affect the pixels that are used.
    blend: width of the middle part of an overlap, in which one tile fades into the next; narrower than the
        overlap by twice the network's factor.
    measured: overlap of the tiles in the measuring pass, where borders matter little.
    window, lattice: side of a window of the sample, and the number of windows along each axis; together
        they have as many pixels as a tile. They keep off the borders, whose pixels would count too often.
    """

    size: int = 768
    overlap: int = 192
    blend: int = 32
    measured: int = 64
    window: int = 128
    lattice: int = 6


@dataclass(frozen=True)
class Tile:
    """A tile along one axis: it covers pixels [start, stop) and owns [inner, outer)."""

    start: int
    stop: int
    inner: int
    outer: int

    def ramp(self, blend: int) -> Tensor:
        """(stop - start,) weights: a linear ramp, `blend` wide, up around `inner` and down around `outer`.

        There is no ramp at a border of the picture. The ramps of all tiles sum to 1.
        """
        position = torch.arange(self.start, self.stop) + 0.5
        rising = (position - self.inner) / blend + 0.5
        falling = (self.outer - position) / blend + 0.5
        one = torch.ones_like(position)
        return torch.minimum(
            rising if self.inner > self.start else one, falling if self.outer < self.stop else one
        ).clamp(0, 1)


def tiles(length: int, size: int, overlap: int, grid: int) -> list[Tile]:
    """The fewest tiles of equal length <= size that cover [0, length) and overlap by at least `overlap`.

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
    """Wraps a network (a `Net` of the method) for pictures of any size that is a multiple of `factor`.

    Pictures up to the size of a tile are processed whole, as a batch; larger ones one at a time, in tiles.
    Several threads take turns, call by call of the network.
    """

    def __init__(
        self,
        net: nn.Module,
        factor: int,
        sizes: Tiles,
        done: Callable[[], None] = lambda: None,
        turn: "Lock | None" = None,
    ) -> None:
        """done: called after each call of the network, `calls` times a picture, when it is others' turn.

        turn: of all that share the network.
        """
        self._net, self._factor, self._sizes, self._done = net, factor, sizes, done
        self._turn = turn or Lock()
        self._normalises = bool(group_norms(net))

    def watched(self, done: Callable[[], None]) -> "TiledNet":
        return TiledNet(self._net, self._factor, self._sizes, done, self._turn)

    def calls(self, size: tuple[int, int]) -> int:
        """The number of calls of the network for a picture of (H, W)."""
        if max(size) <= self._sizes.size:
            return 1
        overlaps = [self._sizes.overlap, *[self._sizes.measured] * self._normalises]
        passes = (len(list(self._cut(size, overlap))) for overlap in overlaps)
        return sum(passes) + 2 * self._normalises

    def __call__(self, x: Tensor, time: Tensor, *context: Tensor) -> Tensor:
        """context: of the whole pictures, for a network that takes it."""
        if max(x.shape[-2:]) <= self._sizes.size:
            return self._run(x, time, *context)
        rule = fixed(self._statistics(x, time)) if self._normalises else None
        total: Tensor | None = None
        for rows, columns in self._cut(x.shape, self._sizes.overlap):
            result = self._run(x[_window(rows, columns)], time, *context, rule=rule)
            if total is None:
                total = result.new_zeros(*result.shape[:2], *x.shape[-2:])
            blend = self._sizes.blend
            weight = rows.ramp(blend)[:, None] * columns.ramp(blend)
            total[_window(rows, columns)] += result * weight.to(result)
        assert total is not None
        return total

    def _run(self, x: Tensor, time: Tensor, *context: Tensor, rule: Rule | None = None) -> Tensor:
        told = time.expand(len(x))
        given = x.contiguous(memory_format=torch.channels_last)
        with self._turn, norms_of(self._net, rule) if rule else nullcontext():
            result: Tensor = self._net(given, told, *context)
        self._done()
        return result.float()

    def _cut(self, shape: tuple[int, ...], overlap: int) -> Iterator[tuple[Tile, Tile]]:
        size, factor = self._sizes.size, self._factor
        rows, columns = (tiles(n, size, overlap, factor) for n in shape[-2:])
        return itertools.product(rows, columns)

    def _statistics(self, x: Tensor, time: Tensor) -> Known:
        windows = self._lattice(x)
        sample = Joint()
        self._run(windows, time, rule=sample)
        picture = Measured(sample.found)
        for rows, columns in self._cut(x.shape, self._sizes.measured):
            picture.own = partial(_share, rows, columns)
            self._run(x[_window(rows, columns)], time, rule=picture)
        corrected = Corrected(sample.found, picture.found)
        self._run(windows, time, rule=corrected)
        return corrected.found

    def _lattice(self, x: Tensor) -> Tensor:
        """(B, C, h, w): windows in the middle of each cell of a lattice over the picture."""
        side = self._sizes.window
        height, width = (min(side, n) for n in x.shape[-2:])
        corners = itertools.product(*(self._starts(n, min(side, n)) for n in x.shape[-2:]))
        return torch.cat([x[..., i : i + height, j : j + width] for i, j in corners])

    def _starts(self, length: int, side: int) -> list[int]:
        """Starts of the windows along one axis; fewer if the picture is too small."""
        count, factor = self._sizes.lattice, self._factor
        middles = (int((i + 0.5) * length / count) for i in range(count))
        starts = (min(max(0, middle - side // 2), length - side) for middle in middles)
        return sorted({start // factor * factor for start in starts})


def _window(rows: Tile, columns: Tile) -> tuple[EllipsisType, slice, slice]:
    return ..., slice(rows.start, rows.stop), slice(columns.start, columns.stop)


def _share(rows: Tile, columns: Tile, h: Tensor) -> Tensor:
    """The part of h, a feature map of the tile at any scale, that the tile owns."""
    scale = (rows.stop - rows.start) // h.shape[-2]
    inner = (
        slice((along.inner - along.start) // scale, (along.outer - along.start) // scale)
        for along in (rows, columns)
    )
    return h[..., next(inner), next(inner)]
