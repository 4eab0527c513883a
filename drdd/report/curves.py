"""Loss curves as inline SVG: the raw points faint, a running mean over them."""

from collections.abc import Iterable

import pandas as pd

from drdd.report.axes import across, columns, plot, rows, ticks, upwards


def loss_curve(curve: pd.DataFrame, label: str) -> str:
    """curve: columns images (seen) and loss, one row at least. Returns an <svg> element."""
    images, losses = curve["images"].astype(float), curve["loss"].astype(float)
    x, y = across(0.0, float(images.max())), upwards(float(losses.max()))
    smooth = losses.rolling(max(1, len(losses) // 12), min_periods=1, center=True).mean()
    return plot(
        label,
        ("images seen", "loss"),
        [
            *rows(y, ticks(y.high)),
            *columns(x, ticks(x.high)),
            _line("raw", map(x, images), map(y, losses)),
            _line("smooth", map(x, images), map(y, smooth)),
        ],
    )


def _line(name: str, xs: Iterable[float], ys: Iterable[float]) -> str:
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(xs, ys, strict=True))
    return f'<polyline class="{name}" points="{points}"/>'
