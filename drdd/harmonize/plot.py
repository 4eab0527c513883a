"""The plot of a harmonization: relative distances over noise levels."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from drdd.drawing.svg import FAINT, INK, STYLE, figure, whole_file
from drdd.harmonize.measure import KINDS, SPACES, curves, suggest

PANEL, LABELS, LEFT, TOP, GAP = (330, 200), 140, 58, 108, 76  # pixels
HIGHEST = 1.5  # maximum of the y axis; labels of curves above it name their last value
SPACING = 15  # pixels between labels
COLOURS = ("#2457c5", "#c2410c", "#137a4a", "#8b2fc9", "#b08900", "#0e7490", "#be185d", "#57534e")
LINES: dict[str, Any] = {
    "frechet": {"linestyle": (0, (5, 4)), "linewidth": 1.3, "alpha": 0.6},
    "energy": {"linestyle": "-", "linewidth": 2.4, "alpha": 1.0},
}


def plot(table: pd.DataFrame) -> bytes:
    """An SVG file with a panel for each space (rows) and kind (columns), x the noise level, y relative."""
    kinds = [kind for kind in KINDS if kind in set(table["kind"])]
    width = LEFT + len(kinds) * (PANEL[0] + LABELS + GAP) - GAP + 10
    height = TOP + len(SPACES) * (PANEL[1] + GAP)
    level = suggest(table).level
    with rc_context(STYLE):
        drawn = figure(width, height)
        drawn.patch.set(visible=True, facecolor="#ffffff")
        heading: dict[str, Any] = {"fontsize": 17, "weight": "bold", "color": INK}
        place = LEFT / width
        drawn.text(place, 1 - 28 / height, "Distance that is left as noise rises", **heading)
        said = "of that without noise; each divided by the sets' spread at its level"
        drawn.text(place, 1 - 47 / height, said)
        said = f"solid: energy; dashed: Fréchet; dotted: the suggested level, {level:g}"
        drawn.text(place, 1 - 63 / height, said)
        for row, space in enumerate(SPACES):
            for column, kind in enumerate(kinds):
                left = LEFT + column * (PANEL[0] + LABELS + GAP)
                bottom = height - TOP - row * (PANEL[1] + GAP) - PANEL[1]
                size = PANEL[0] / width, PANEL[1] / height
                axes = drawn.add_axes((left / width, bottom / height, *size))
                axes.set_title(
                    f"{KINDS[kind]}, {SPACES[space]}", loc="left", fontsize=13, color=INK, pad=10
                )
                _panel(axes, table[table["kind"] == kind], space, level)
        return whole_file(drawn, "Distances as noise rises")


def _panel(axes: Axes, table: pd.DataFrame, space: str, level: float) -> None:
    levels = sorted(table["level"].unique())
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(axis="y")
    # Values above HIGHEST are cut off; small negative values, from random variation, are not.
    axes.set(xlim=(0, levels[-1]), ylim=(-0.04, HIGHEST), yticks=[0, 0.5, 1, 1.5])
    axes.set_xticks(_apart_enough(levels), [f"{x:g}" for x in _apart_enough(levels)])
    axes.set_xlabel("noise level s", color=FAINT)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.axvline(level, color=INK, linestyle=(0, (2, 3)), linewidth=1, gid="mark")
    names = list(dict.fromkeys(table["name"]))
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    for distance, style in LINES.items():
        for name, curve in curves(table, space, distance).items():
            axes.plot(curve.index.to_numpy(), curve, color=colour[name], gid=distance, **style)
    ends = {name: float(curve.iloc[-1]) for name, curve in curves(table, space, "energy").items()}
    unit = (HIGHEST + 0.04) / PANEL[1]  # of the y axis, a pixel
    places = spread_out([min(value, HIGHEST) for value in ends.values()], 0.0, SPACING * unit)
    for (name, value), place in zip(ends.items(), places, strict=True):
        said = f"{name} {'↑ ' if value > HIGHEST else ''}{value:.0%}"
        axes.annotate(
            said, (levels[-1], place), (8, 0), textcoords="offset points", va="center",
            color=colour[name], annotation_clip=False,
        )  # fmt: skip


def _apart_enough(levels: Sequence[float], pixels: float = 28) -> list[float]:
    """The levels whose labels do not overlap on the axis."""
    kept: list[float] = []
    for level in levels:
        if not kept or (level - kept[-1]) * PANEL[0] / levels[-1] >= pixels:
            kept.append(level)
    return kept


def spread_out(places: Sequence[float], lowest: float, gap: float) -> list[float]:
    """Move the places so that they are at least `gap` apart and none is below `lowest`."""
    order = sorted(range(len(places)), key=lambda i: -places[i])
    moved = list(places)
    for above, i in pairwise(order):
        moved[i] = min(moved[i], moved[above] - gap)
    limit = lowest
    for i in reversed(order):
        moved[i] = max(moved[i], limit)
        limit = moved[i] + gap
    return moved
