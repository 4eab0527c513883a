"""How values are distributed, as inline SVG: dots or a histogram; a mean with its interval."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import pairwise
from math import floor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drdd.report.axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    TOP,
    Scale,
    across,
    columns,
    number,
    plot,
    rows,
    step,
    ticks,
    upwards,
)

BARS = 14
DOTS = 60  # pictures, at most, that are drawn one by one
MARK = (150, 22)  # width and height of an interval's drawing, pixels


def distribution(
    rows: Mapping[str, ArrayLike], label: str, axis: str, marks: Sequence[float] = ()
) -> str:
    """One or two named rows of values, one a picture in the same order; NaN where there is none.

    Few pictures are dots, those of one picture joined by a line; many are a histogram. Returns an
    <svg> element.
    """
    first, *others = rows.values()
    if len(np.asarray(first)) <= DOTS:
        return dots(rows, label, axis, marks)
    return histogram(first, label, axis, others[0] if others else (), marks)


def dots(rows: Mapping[str, ArrayLike], label: str, axis: str, marks: Sequence[float] = ()) -> str:
    """One line of dots a row, the last row below; arguments as of `distribution`."""
    values = {name: np.asarray(row, np.float64) for name, row in rows.items()}
    every = _finite(np.concatenate(list(values.values())))
    edges = bins(every)
    x = across(float(edges[0]), float(edges[-1]))
    heights = np.linspace(TOP, HEIGHT - BOTTOM, 2 * len(values) + 1)[1::2] + 6
    parts = [
        *columns(x, ticks(x.high, x.low, 6)),
        *_zero(x),
        *(_upright("mark", x(m)) for m in marks),
    ]
    for (upper, above), (lower, below) in pairwise(zip(heights, values.values(), strict=True)):
        parts += [
            f'<line class="join" x1="{x(a):.1f}" y1="{upper:.1f}" x2="{x(b):.1f}" y2="{lower:.1f}"/>'
            for a, b in zip(above, below, strict=True)
            if np.isfinite(a) and np.isfinite(b)
        ]
    for side, y, (name, row) in zip(("ours", "theirs"), heights, values.items(), strict=False):
        parts.append(f'<text class="start" x="{LEFT}" y="{y - 16:.1f}">{escape(name)}</text>')
        parts += [
            f'<circle class="dot {side}" cx="{x(value):.1f}" cy="{y:.1f}" r="4.5"/>'
            for value in _finite(row)
        ]
    return plot(label, (axis, ""), parts)


def histogram(
    values: ArrayLike, label: str, axis: str, other: ArrayLike = (), marks: Sequence[float] = ()
) -> str:
    """Bars of how many pictures have a value in each bin; `other` as an outline over the same bins.

    values, other: finite ones are counted, of `values` there is one at least. A dashed line stands
    at 0 where it is in range, a solid one at each of `marks`. Returns an <svg> element.
    """
    ours, theirs = _finite(values), _finite(other)
    edges = bins(np.concatenate([ours, theirs]))
    counts, others = (np.histogram(side, edges)[0] for side in (ours, theirs))
    x = across(float(edges[0]), float(edges[-1]))
    y = upwards(1.05 * float(max(counts.max(), others.max())))
    whole = [tick for tick in ticks(y.high) if tick == int(tick)]
    bars = zip(edges, edges[1:], counts, strict=False)
    outline = _outline(x, y, edges, others) if len(theirs) else ""
    return plot(
        label,
        (axis, "pictures"),
        [
            *rows(y, whole),
            *columns(x, ticks(x.high, x.low, 6)),
            *(_bar(x, y, low, high, int(count)) for low, high, count in bars if count),
            outline,
            *_zero(x),
            *(_upright("mark", x(mark)) for mark in marks),
        ],
    )


def bins(values: NDArray[np.float64], count: int = BARS) -> NDArray[np.float64]:
    """Edges of about `count` bins of one round width that cover all values, the last one included."""
    low, high = float(values.min()), float(values.max())
    size = max(abs(low), abs(high), 1.0)
    width = step(high - low if high - low > 1e-6 * size else size, count)
    first, last = floor(low / width), floor(high / width) + 1
    first -= first * width > low  # a division may round up to a whole number
    edges: NDArray[np.float64] = np.arange(first, last + 1, dtype=np.float64) * width
    return edges


def interval_mark(
    mean: float,
    ends: Sequence[float] | None,
    needed: float | None,
    other: float | None,
    span: tuple[float, float],
) -> str:
    """A dot at the mean on the line of its interval; a tick at what is needed, a ring at `other`.

    span: the values at the left and right edge, the same for all marks of a column.
    """
    width, height = MARK
    x, middle = Scale(*span, 6, width - 6), height / 2
    parts = [f'<line class="base" x1="0" x2="{width}" y1="{middle:g}" y2="{middle:g}"/>']
    if span[0] <= 0 <= span[1]:
        parts.append(
            f'<line class="zero" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="1" y2="{height - 1}"/>'
        )
    if needed is not None:
        parts.append(
            f'<line class="needed" x1="{x(needed):.1f}" x2="{x(needed):.1f}" y1="3" '
            f'y2="{height - 3}"/>'
        )
    if ends is not None:
        low, high = (f"{x(end):.1f}" for end in ends)
        parts.append(
            f'<line class="interval" x1="{low}" x2="{high}" y1="{middle:g}" y2="{middle:g}"/>'
        )
    if other is not None:
        parts.append(f'<circle class="other" cx="{x(other):.1f}" cy="{middle:g}" r="4"/>')
    parts.append(f'<circle class="mean" cx="{x(mean):.1f}" cy="{middle:g}" r="3.5"/>')
    return (
        f'<svg class="mark" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'aria-hidden="true">{"".join(parts)}</svg>'
    )


def span_of(values: Iterable[float | None]) -> tuple[float, float]:
    """From the least to the most of the values that are there and of 0."""
    known = [0.0, *(value for value in values if value is not None)]
    return min(known), max(known) if max(known) > min(known) else min(known) + 1.0


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    return array[np.isfinite(array)]


def _zero(x: Scale) -> list[str]:
    return [_upright("zero", x(0.0))] if x.low < 0 < x.high else []


def _bar(x: Scale, y: Scale, low: float, high: float, count: int) -> str:
    left, right, top = x(low) + 0.75, x(high) - 0.75, y(count)
    pictures = "1 picture" if count == 1 else f"{count} pictures"
    return (
        f'<rect class="bar" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
        f'height="{y(0) - top:.1f}"><title>{pictures} from {number(round(low, 9))} to '
        f"{number(round(high, 9))}</title></rect>"
    )


def _outline(x: Scale, y: Scale, edges: NDArray[np.float64], counts: NDArray[np.int_]) -> str:
    corners = [(edges[0], 0.0)]
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        corners += [(low, float(count)), (high, float(count))]
    corners.append((edges[-1], 0.0))
    points = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in corners)
    return f'<polyline class="other" points="{points}"/>'


def _upright(name: str, x: float) -> str:
    return f'<line class="{name}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
