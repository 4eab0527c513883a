"""Harmonization measured: how the distances between domains, and between the input and the target
of each task, fall as Gaussian noise rises. Images in [-1, 1] become x + s eps, for each level s.

Every distance is a share (distances.py): relative to the spread of the noisy sets themselves.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import combinations, pairwise

import pandas as pd
import torch
from torch import Tensor

from drdd.diffusion.keyed import keyed_generator
from drdd.errors import UserError
from drdd.metrics.distances import energy_share, frechet_share

COLUMNS = ["level", "kind", "name", "space", "distance", "value", "relative"]
KINDS = {"domains": "between domains", "task": "between input and target"}
SPACES = {"features": "in the feature space", "pixels": "on pixels"}
DISTANCES = {"energy": energy_share, "frechet": frechet_share}
TOGETHER = 1e-3  # a share of the distance below this is within what chance gives
HALF = 0.5

Embedding = Callable[[Tensor], Tensor]
Set = tuple[str, str, str]  # kind, name, and for a task "input" or "target"


@dataclass(frozen=True)
class Suggestion:
    """level: a noise level for diffusion.noise_level; why: sentences for a person."""

    level: float
    why: str


def harmonize(
    domains: Mapping[str, Tensor],
    pairs: Mapping[str, tuple[Tensor, Tensor]],
    levels: Sequence[float],
    features: Embedding,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """One row for each (level, pair of domains or task, space, distance), in COLUMNS.

    domains: (N, 3, H, W) in [-1, 1] each. pairs: a task's (input, target), the same shape, rows
    aligned. features: (B, 3, H, W) -> (B, D). progress: told (images embedded, of).
    value: the share; relative: value / value at level 0 (always measured), NaN where the sets are
    together without noise already (value below TOGETHER).
    eps is keyed by (seed, set, row): independent between the sets, the same at every level.
    """
    sets: dict[Set, Tensor] = {("domains", name, ""): x for name, x in domains.items()}
    for task, (degraded, target) in pairs.items():
        sets |= {("task", task, "input"): degraded, ("task", task, "target"): target}
    compared = _compared(sorted(domains), sorted(pairs))
    levels = sorted({0.0, *levels})
    per_level = sum(map(len, sets.values()))
    rows = []
    for turn, level in enumerate(levels):
        vectors: dict[Set, dict[str, Tensor]] = {}
        done = turn * per_level
        for key, x in sets.items():
            noisy = x + level * _noise(seed, key, x) if level else x
            vectors[key] = {"features": features(noisy), "pixels": noisy.flatten(1)}
            done += len(x)
            progress(done, per_level * len(levels))
        for (kind, name), (a, b) in compared.items():
            for space in SPACES:
                rows += [
                    (
                        level,
                        kind,
                        name,
                        space,
                        distance,
                        share(vectors[a][space], vectors[b][space]),
                    )
                    for distance, share in DISTANCES.items()
                ]
    return _with_relative(pd.DataFrame(rows, columns=COLUMNS[:-1]))


def medians(table: pd.DataFrame) -> "pd.Series[float]":
    """By level: the median relative energy distance in the feature space, over both kinds."""
    rows = table[(table["space"] == "features") & (table["distance"] == "energy")]
    return rows.groupby("level")["relative"].median()


def suggest(table: pd.DataFrame) -> Suggestion:
    """The smallest level whose median (see `medians`) is at most half; else that of the lowest.

    Raises UserError where no relative distance exists.
    """
    fall = medians(table).drop(0.0).dropna()
    if fall.empty:
        raise UserError("harmonize: no two sets are apart without noise, so none can come closer")
    measured = list(zip(fall, fall.index.to_list(), strict=True))
    halved = [at for at in measured if at[0] <= HALF]
    median, level = halved[0] if halved else min(measured)
    said = f"the median distance in the feature space is {median:.0%} of that without noise"
    if halved:
        why = f"{level:g} is the smallest level measured at which {said}, at most half."
    elif median < 1:
        why = f"No level measured halves the distances; at {level:g} they fall most: {said}."
    else:
        why = f"Noise does not bring these sets closer: at {level:g}, the best level, {said}."
    rows = _curves(table[table["level"] == level], "features", "energy")
    if apart := [name for name, curve in rows.items() if curve.iloc[0] > 1]:
        why += f" Farther apart there than without noise: {', '.join(apart)}."
    return Suggestion(level, why)


def _compared(
    domains: Sequence[str], tasks: Sequence[str]
) -> dict[tuple[str, str], tuple[Set, Set]]:
    """(kind, name) -> the two sets whose distance it is."""
    between: dict[tuple[str, str], tuple[Set, Set]] = {
        ("domains", f"{a} - {b}"): (("domains", a, ""), ("domains", b, ""))
        for a, b in combinations(domains, 2)
    }
    return between | {
        ("task", task): (("task", task, "input"), ("task", task, "target")) for task in tasks
    }


def _noise(seed: int, key: Set, x: Tensor) -> Tensor:
    """Standard normal, of x's shape; row i is a pure function of (seed, key, i)."""
    return torch.stack(
        [
            torch.randn(image.shape, generator=keyed_generator(seed, "harmonize", *key, i))
            for i, image in enumerate(x)
        ]
    )


def _with_relative(table: pd.DataFrame) -> pd.DataFrame:
    what = ["kind", "name", "space", "distance"]
    clean = table[table["level"] == 0].set_index(what)["value"]
    before = pd.Series(clean.reindex(pd.MultiIndex.from_frame(table[what])).to_numpy())
    table["relative"] = (table["value"] / before).where(before >= TOGETHER)
    return table


def _curves(table: pd.DataFrame, space: str, distance: str) -> dict[str, "pd.Series[float]"]:
    """name -> relative by level, without what has no relative."""
    rows = table[(table["space"] == space) & (table["distance"] == distance)].dropna()
    return {
        str(name): curve.set_index("level")["relative"].sort_index()
        for name, curve in rows.groupby("name", sort=False)
    }


# The plot: a panel for each space (rows) and kind (columns), x the noise level, y relative.
PANEL, LABELS, LEFT, TOP, GAP = (330, 200), 140, 58, 108, 76
HIGHEST = 1.5  # of a panel; the label of a curve that leaves it says where it ends
COLOURS = ("#2457c5", "#c2410c", "#137a4a", "#8b2fc9", "#b08900", "#0e7490", "#be185d", "#57534e")
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#626c7b}.title{font-size:17px;fill:#1b2230;"
    "font-weight:600}.head{font-size:13px;fill:#1b2230}.mid{text-anchor:middle}"
    ".end{text-anchor:end}.grid{stroke:#e3e4e0}.mark{stroke:#1b2230;stroke-dasharray:2 3}"
    "polyline{fill:none;stroke-width:2.4;stroke-linejoin:round}"
    ".frechet{stroke-width:1.3;stroke-dasharray:5 4;opacity:.6}"
)


def plot(table: pd.DataFrame) -> str:
    """The table's figure: a whole SVG file that needs nothing else."""
    kinds = [kind for kind in KINDS if kind in set(table["kind"])]
    width = LEFT + len(kinds) * (PANEL[0] + LABELS + GAP) - GAP + 10
    height = TOP + len(SPACES) * (PANEL[1] + GAP)
    level = suggest(table).level
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="Distances as noise rises">',
        f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>',
        _text(LEFT, 28, "Distance that is left as noise rises", "title"),
        _text(LEFT, 47, "of that without noise; each divided by the sets' spread at its level"),
        _text(LEFT, 63, f"solid: energy; dashed: Fréchet; dotted: the suggested level, {level:g}"),
    ]
    for row, space in enumerate(SPACES):
        for column, kind in enumerate(kinds):
            left = LEFT + column * (PANEL[0] + LABELS + GAP)
            top = TOP + row * (PANEL[1] + GAP)
            parts += _panel(table[table["kind"] == kind], space, level, left, top)
            parts.append(_text(left, top - 10, f"{KINDS[kind]}, {SPACES[space]}", "head"))
    return "".join([*parts, "</svg>\n"])


def _panel(table: pd.DataFrame, space: str, level: float, left: int, top: int) -> Iterator[str]:
    levels = sorted(table["level"].unique())
    right, bottom = left + PANEL[0], top + PANEL[1]

    def x(value: float) -> float:
        return left + PANEL[0] * value / levels[-1]

    def y(value: float) -> float:
        return bottom - PANEL[1] * value / HIGHEST

    # What is above HIGHEST is cut off; a little below 0, where chance puts some, is not.
    frame = f"x{left}y{top}"
    inside = f'<path d="M{left},{top}H{right}V{bottom + 5}H{left}Z"/>'
    yield f'<clipPath id="{frame}">{inside}</clipPath>'
    for tick in (0.0, 0.5, 1.0, 1.5):
        yield _line("grid", left, y(tick), right, y(tick))
        yield _text(left - 7, y(tick) + 4, f"{tick:.0%}", "end")
    shown = -100.0
    for tick in levels:
        if x(tick) - shown >= 28:
            yield _text(x(tick), bottom + 17, f"{tick:g}", "mid")
            shown = x(tick)
    yield _text((left + right) / 2, bottom + 34, "noise level s", "mid")
    yield _line("mark", x(level), top, x(level), bottom)
    names = list(dict.fromkeys(table["name"]))
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    ends = {}
    for distance in ("frechet", "energy"):
        for name, curve in _curves(table, space, distance).items():
            points = zip(curve.index.to_list(), curve, strict=True)
            drawn = " ".join(f"{x(s):.1f},{y(value):.1f}" for s, value in points)
            yield (
                f'<polyline class="{distance}" stroke="{colour[name]}" points="{drawn}" '
                f'clip-path="url(#{frame})"/>'
            )
            if distance == "energy":
                ends[name] = float(curve.iloc[-1])
    places = _apart([max(y(value), top) for value in ends.values()], bottom)
    for (name, value), place in zip(ends.items(), places, strict=True):
        said = f"{name} {'↑ ' if value > HIGHEST else ''}{value:.0%}"
        yield _text(right + 8, place + 4, said, style=f"fill:{colour[name]}")


def _apart(places: Sequence[float], lowest: float, gap: float = 15) -> list[float]:
    """The labels' heights, moved so that no two overlap and none is below `lowest`."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for above, i in pairwise(order):
        moved[i] = max(moved[i], moved[above] + gap)
    limit = lowest
    for i in reversed(order):
        moved[i] = min(moved[i], limit)
        limit = moved[i] - gap
    return moved


def _line(name: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, said: str, name: str = "", style: str = "") -> str:
    return f'<text class="{name}" style="{style}" x="{x:.1f}" y="{y:.1f}">{escape(said)}</text>'
