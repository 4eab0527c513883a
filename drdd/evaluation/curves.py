"""Loss curves as inline SVG: the raw points faint, a running mean over them."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

import pandas as pd

WIDTH, HEIGHT = 560, 280
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 44


@dataclass(frozen=True)
class _Scale:
    """A linear map from values to pixels."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        span = (self.high - self.low) or 1.0
        return self.first + (value - self.low) / span * (self.last - self.first)


def loss_curve(curve: pd.DataFrame, label: str) -> str:
    """curve: columns images (seen) and loss. Returns an <svg> element that fits its container."""
    images, losses = curve["images"].astype(float), curve["loss"].astype(float)
    x = _Scale(0.0, float(images.max()), LEFT, WIDTH - RIGHT)
    y = _Scale(0.0, float(losses.max()), HEIGHT - BOTTOM, TOP)
    smooth = losses.rolling(max(1, len(losses) // 12), min_periods=1, center=True).mean()
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">',
        *(_grid_line(y(tick), _number(tick)) for tick in ticks(y.high)),
        *(_tick(x(tick), _number(tick)) for tick in ticks(x.high)),
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}">images seen</text>',
        f'<text class="axis" transform="translate(13 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)">'
        "loss</text>",
        _line("raw", [x(v) for v in images], [y(v) for v in losses]),
        _line("smooth", [x(v) for v in images], [y(v) for v in smooth]),
        "</svg>",
    ]
    return "".join(parts)


def ticks(high: float, count: int = 4) -> list[float]:
    """0 and round steps (1, 2 or 5 times a power of ten) up to `high`, about `count` of them."""
    if high <= 0:
        return [0.0]
    power = 10 ** floor(log10(high / count))
    step = next(s * power for s in (1, 2, 5, 10) if s * power * (count + 1) >= high)
    return [round(i * step, 10) for i in range(int(high / step + 1e-9) + 1)]


def _line(name: str, xs: Sequence[float], ys: Sequence[float]) -> str:
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(xs, ys, strict=True))
    return f'<polyline class="{name}" points="{points}"/>'


def _grid_line(y: float, text: str) -> str:
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick end" x="{LEFT - 6}" y="{y + 4:.1f}">{text}</text>'
    )


def _tick(x: float, text: str) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}">{text}</text>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:g}"
