"""The parts that every plot of the report has: a scale, round ticks, lines of a grid."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT = 420, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 42


@dataclass(frozen=True)
class Scale:
    """A linear map from values to pixels."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        span = (self.high - self.low) or 1.0
        return self.first + (value - self.low) / span * (self.last - self.first)


def across(low: float, high: float) -> Scale:
    """From the left edge of a plot to its right one."""
    return Scale(low, high, LEFT, WIDTH - RIGHT)


def upwards(high: float) -> Scale:
    """From 0 at the bottom edge of a plot to its top one; y of SVG points down."""
    return Scale(0.0, high, HEIGHT - BOTTOM, TOP)


def step(span: float, count: int) -> float:
    """The round step (1, 2 or 5 times a power of ten) that cuts span > 0 into about `count` parts."""
    power = 10.0 ** floor(log10(span / count))
    return float(next(s * power for s in (1, 2, 5, 10) if s * power * (count + 1) >= span))


def ticks(high: float, low: float = 0.0, count: int = 4) -> list[float]:
    """Multiples of a round step from low to high, about `count` of them; [low] where there is no span."""
    if high <= low:
        return [low]
    by = step(high - low, count)
    first, last = ceil(low / by - 1e-9), floor(high / by + 1e-9)
    return [round(i * by, 10) + 0.0 for i in range(first, last + 1)]


def plot(label: str, axes: tuple[str, str], parts: Iterable[str]) -> str:
    """An <svg> element that fits its container. axes: what the x and the y axis show."""
    x, y = (escape(axis) for axis in axes)
    middle = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    return "".join(
        [
            f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{escape(label)}">',
            *parts,
            f'<text class="axis" x="{middle[0]:g}" y="{HEIGHT - 6}">{x}</text>',
            f'<text class="axis" transform="translate(9 {middle[1]:g}) rotate(-90)">{y}</text>',
            "</svg>",
        ]
    )


def rows(scale: Scale, values: Sequence[float]) -> list[str]:
    """Horizontal lines with their values at the left."""
    return [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick end" x="{LEFT - 6}" y="{y + 4:.1f}">{number(value)}</text>'
        for value in values
        for y in [scale(value)]
    ]


def columns(scale: Scale, values: Sequence[float]) -> list[str]:
    """Values below the plot."""
    return [
        f'<text class="tick" x="{scale(value):.1f}" y="{HEIGHT - BOTTOM + 17}">{number(value)}</text>'
        for value in values
    ]


def number(value: float) -> str:
    text = f"{value:,.0f}" if abs(value) >= 10 or value == 0 else f"{value:g}"
    return text.replace("-", "\N{MINUS SIGN}")
