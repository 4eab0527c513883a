"""Measure how Gaussian noise reduces the distances between domains and between input and target of tasks.

Images in [-1, 1] become x + s eps, for each level s. Every distance is a share (distances.py): it is
relative to the spread of the noisy sets.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

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
TOGETHER = 1e-3  # a share below this is within random variation
HALF = 0.5

Embedding = Callable[[Tensor], Tensor]
Set = tuple[str, str, str]  # kind, name, and for a task "input" or "target"


@dataclass(frozen=True)
class Suggestion:
    """level: for diffusion.noise_level; why: an explanation for the user."""

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
    aligned. features: (B, 3, H, W) -> (B, D). progress: (images embedded, total) -> None.
    value: the share; relative: value / value at level 0 (always measured), NaN if the sets coincide even
    without noise (value below TOGETHER).
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
    """The median relative energy distance in the feature space over both kinds, by level."""
    rows = table[(table["space"] == "features") & (table["distance"] == "energy")]
    return rows.groupby("level")["relative"].median()


def suggest(table: pd.DataFrame) -> Suggestion:
    """The smallest level whose median (see `medians`) is at most one half, else the level of the lowest.

    Raises UserError when there is no relative distance.
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
    rows = curves(table[table["level"] == level], "features", "energy")
    if apart := [name for name, curve in rows.items() if curve.iloc[0] > 1]:
        why += f" Farther apart there than without noise: {', '.join(apart)}."
    return Suggestion(level, why)


def _compared(
    domains: Sequence[str], tasks: Sequence[str]
) -> dict[tuple[str, str], tuple[Set, Set]]:
    """(kind, name) -> the two sets to compare."""
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


def curves(table: pd.DataFrame, space: str, distance: str) -> dict[str, "pd.Series[float]"]:
    """The relative distances by level of each name, without names that have none."""
    rows = table[(table["space"] == space) & (table["distance"] == distance)].dropna()
    return {
        str(name): curve.set_index("level")["relative"].sort_index()
        for name, curve in rows.groupby("name", sort=False)
    }
