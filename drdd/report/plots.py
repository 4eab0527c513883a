"""The plots of a report: loss curves, distributions, and means with intervals."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from drdd.drawing.svg import (
    ACCENT,
    FAINT,
    INK,
    LINE,
    NUMBERS,
    OTHER,
    STYLE,
    figure,
    inline,
    number,
    ticks,
)

WIDTH, HEIGHT = 420, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 42
MARK = (150, 22)  # width and height of an interval's drawing, pixels
BARS = 14
DOTS = 60  # maximum number of pictures drawn as dots
SIDES = ((ACCENT, "ours"), (OTHER, "theirs"))


def loss_curve(curve: pd.DataFrame, label: str) -> str:
    """Plot faint raw points and a running mean. curve: columns images (seen) and loss, not empty."""
    images, losses = curve["images"].astype(float), curve["loss"].astype(float)
    smooth = losses.rolling(max(1, len(losses) // 12), min_periods=1, center=True).mean()
    with rc_context(STYLE):
        drawn, axes = _axes("images seen", "loss")
        axes.plot(images, losses, color=ACCENT, alpha=0.3, linewidth=1, gid="raw")
        axes.plot(images, smooth, color=ACCENT, linewidth=2.2, gid="smooth")
        axes.set(xlim=(0, float(images.max()) or 1), ylim=(0, float(losses.max()) or 1))
        return _plot(drawn, label)


def distribution(
    rows: Mapping[str, ArrayLike], label: str, axis: str, marks: Sequence[float] = ()
) -> str:
    """Plot one or two named rows of values, one value per picture in the same order, NaN if missing.

    Few pictures are shown as dots, with a line between those of one picture; many as a histogram. A
    dashed line marks 0 if it is in range; solid lines mark `marks`.
    """
    values = {name: np.asarray(row, np.float64) for name, row in rows.items()}
    edges = bins(np.concatenate([row[np.isfinite(row)] for row in values.values()]))
    few = len(next(iter(values.values()))) <= DOTS
    with rc_context(STYLE):
        drawn, axes = _axes(axis, "" if few else "pictures")
        titles = _dots(axes, values) if few else _bars(axes, list(values.values()), edges)
        if edges[0] < 0 < edges[-1]:
            axes.axvline(0, color=FAINT, linestyle=(0, (3, 3)), linewidth=1, gid="zero")
        for mark in marks:
            axes.axvline(mark, color=ACCENT, linewidth=2, gid="mark")
        axes.set_xlim(edges[0], edges[-1])
        axes.xaxis.set_major_locator(ticks(6))
        return _plot(drawn, label, titles)


def bins(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges of about BARS bins of equal round width that cover all values, including the largest."""
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-6 * max(abs(low), abs(high), 1.0):
        low, high = low - 0.5, high + 0.5
    edges = np.asarray(ticks(BARS).tick_values(low, high), np.float64)
    width = edges[1] - edges[0]
    before, after = edges[:1] - width, edges[-1:] + width  # outside of the outermost ticks
    return np.concatenate([before[edges[:1] > low], edges, after[edges[-1:] < high]])


def interval_mark(
    label: str,
    mean: float,
    ends: Sequence[float] | None,
    needed: float | None,
    other: float | None,
    span: tuple[float, float],
) -> str:
    """Plot a dot at the mean on the line of its interval, a tick at `needed`, a ring at `other`.

    label: unique for each mark; span: the values at the left and right edge, the same in a column.
    """
    drawn = figure(*MARK)
    axes = drawn.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    margin = 6 * (span[1] - span[0]) / (MARK[0] - 12)
    axes.set(xlim=(span[0] - margin, span[1] + margin), ylim=(-11, 11))
    axes.plot([span[0] - margin, span[1] + margin], [0, 0], color=LINE, linewidth=1, gid="base")
    if span[0] <= 0 <= span[1]:
        axes.plot([0, 0], [-10, 10], color=FAINT, linestyle=(0, (3, 3)), linewidth=1, gid="zero")
    if needed is not None:
        axes.plot([needed, needed], [-8, 8], color=INK, linewidth=1.5, gid="needed")
    if ends is not None:
        axes.plot(list(ends), [0, 0], color=ACCENT, linewidth=2, gid="interval")
    if other is not None:
        axes.plot([other], [0], "o", mfc="none", mec=OTHER, mew=1.6, markersize=8, gid="other")
    axes.plot([mean], [0], "o", color=ACCENT, markersize=7, markeredgewidth=0, gid="mean")
    return _plot(drawn, label, kind="mark")


def span_of(values: Iterable[float | None]) -> tuple[float, float]:
    """The range of the values that are not None, extended to 0."""
    known = [0.0, *(value for value in values if value is not None)]
    return min(known), max(known) if max(known) > min(known) else min(known) + 1.0


def _dots(axes: Axes, rows: Mapping[str, NDArray[np.float64]]) -> dict[str, str]:
    """Plot one line of dots per row, the last row at the bottom."""
    heights = np.linspace(1, 0, 2 * len(rows) + 1)[1::2] - 0.03
    for (upper, above), (lower, below) in pairwise(zip(heights, rows.values(), strict=True)):
        for a, b in zip(above, below, strict=True):
            if np.isfinite(a) and np.isfinite(b):
                axes.plot([a, b], [upper, lower], color=FAINT, alpha=0.35, linewidth=1, gid="join")
    for (colour, side), y, (name, row) in zip(SIDES, heights, rows.items(), strict=False):
        axes.plot(
            row, np.full(len(row), y), "o", color=colour, alpha=0.7, markersize=9, gid=side, mew=0
        )
        axes.text(0, y + 0.1, name, transform=axes.transAxes)
    axes.set(ylim=(0, 1), yticks=[])
    return {}


def _bars(
    axes: Axes, rows: Sequence[NDArray[np.float64]], edges: NDArray[np.float64]
) -> dict[str, str]:
    """Plot a histogram; a second row is shown as an outline."""
    titles = {}
    ours, *others = (np.histogram(row[np.isfinite(row)], edges)[0] for row in rows)
    for place, (low, high, count) in enumerate(zip(edges, edges[1:], ours, strict=False)):
        if count:
            bar = axes.bar((low + high) / 2, count, 0.96 * (high - low), color=ACCENT, alpha=0.35)
            bar[0].set_gid(f"bar_{place}")
            pictures = "1 picture" if count == 1 else f"{count} pictures"
            titles[f"bar_{place}"] = f"{pictures} from {number(low)} to {number(high)}"
    for counts in others:
        axes.stairs(counts, edges, color=OTHER, linewidth=1.6, gid="other")
    axes.set_ylim(0, 1.05 * max(counts.max() for counts in (ours, *others)))
    axes.yaxis.set_major_locator(ticks(4, whole=True))
    return titles


def _axes(x: str, y: str) -> tuple[Figure, Axes]:
    drawn = figure(WIDTH, HEIGHT)
    size = (WIDTH - LEFT - RIGHT) / WIDTH, (HEIGHT - TOP - BOTTOM) / HEIGHT
    axes = drawn.add_axes((LEFT / WIDTH, BOTTOM / HEIGHT, *size))
    axes.spines[:].set_visible(False)
    axes.patch.set_visible(False)
    axes.tick_params(length=0)
    axes.grid(axis="y")
    for line, name, count in ((axes.xaxis, x, 4), (axes.yaxis, y, 4)):
        line.set_label_text(name)
        line.set_major_locator(ticks(count))
        line.set_major_formatter(NUMBERS)
    return drawn, axes


def _plot(
    drawn: Figure, label: str, titles: Mapping[str, str] | None = None, kind: str = "plot"
) -> str:
    for part in drawn.findobj():
        part.set_clip_on(False)
    return inline(drawn, label, kind, titles, hidden=kind == "mark")
