"""What evaluate finds: a row a picture, what is measured of whole sets, the trajectories to be shown."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from drdd.evaluation.grid import grid
from drdd.evaluation.held_out import Restored
from drdd.evaluation.trajectories import (
    DERESIDUAL,
    FIRST,
    WORST,
    Trajectory,
    write_trajectories,
)
from drdd.files import atomic_path, write_json
from drdd.metrics.fidelity import psnr
from drdd.metrics.measures import INPUT, OUTPUT, REFERENCE, Measures

SHOWN = {FIRST: 3, WORST: 3}  # trajectories of a task, by kind
IDENTITY = ["task", "corpus", "image", "variant"]


@dataclass(frozen=True)
class _Candidate:
    """A picture that may be shown; order: smaller is shown rather."""

    order: tuple[Any, ...]
    trajectory: Trajectory


class Results:
    """Takes restored pictures one by one, in any order, and keeps no more of them than it shows."""

    def __init__(
        self, seed: int, measures: Measures, seen: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """seen: the held-out pictures that the base learned from, as `seen_by_base` finds them."""
        self._seed, self._measures, self._seen = seed, measures, seen
        self._rows: list[dict[str, Any]] = []
        self._latencies: list[dict[str, Any]] = []
        self._shown: dict[str, dict[str, list[_Candidate]]] = {kind: {} for kind in SHOWN}

    def add(self, one: Restored) -> None:
        pictures = {INPUT: one.degraded, OUTPUT: one.restoration.output}
        if one.reference is not None:
            pictures[REFERENCE] = one.reference
        scores = self._measures.pictures(one.task, pictures, one.target)
        deresidual = one.restoration.last(DERESIDUAL)
        row = {
            "task": one.task,
            "corpus": one.pair.corpus,
            "image": one.pair.image,
            "variant": one.pair.variant,
            "seed": self._seed,
            "width": one.degraded.shape[1],
            "height": one.degraded.shape[0],
            "input_id": one.pair.input,
            "target_id": one.pair.target,
        }
        for part, values in scores.items():
            row |= {f"{part}_{name}": value for name, value in values.items()}
        row["deresidual_psnr_rgb"] = psnr(deresidual.astype(float), one.target.astype(float))
        self._rows.append(row)
        taken = {name: row[name] for name in (*IDENTITY, "width", "height")}
        self._latencies.append(taken | {"seconds": one.seconds, "batch": one.batch})
        self._show(one, row)

    def write(
        self, images: Path, latency: Path, sets: Path, trajectories: Path, picture_grid: Path
    ) -> None:
        """images: a row a picture; latency: the same rows, with what differs from run to run: seconds and
        the pictures of the batch; sets: JSON, what is measured of whole sets and how.
        """
        for path, rows in ((images, self._rows), (latency, self._latencies)):
            table = pd.DataFrame(rows).sort_values(IDENTITY, ignore_index=True)
            with atomic_path(path) as temporary:
                table.to_parquet(temporary, index=False)
        write_json(
            sets,
            {
                "protocol": self._measures.protocol,
                "not_computed": self._measures.not_computed,
                "tasks": self._measures.sets(),
                "seen_by_base": dict(self._seen),
            },
        )
        by_kind = {
            kind: [[one.trajectory for one in kept[task]] for task in sorted(kept)]
            for kind, kept in self._shown.items()
        }
        # Each task begins with another picture, so that the grid shows several.
        examples = [first[turn % len(first)] for turn, first in enumerate(by_kind[FIRST])]
        with atomic_path(picture_grid) as temporary:
            grid(examples).save(temporary, "PNG")
        write_trajectories(
            trajectories,
            [one for tasks in by_kind.values() for of_task in tasks for one in of_task],
        )

    def _show(self, one: Restored, row: Mapping[str, Any]) -> None:
        trajectory = Trajectory(
            task=one.task,
            image=one.pair.image,
            kind=FIRST,
            input=one.degraded,
            reference=one.reference,
            output=one.restoration.output,
            target=one.target,
            states=tuple((s.name, s.pixels) for s in one.restoration.states),
            small=one.small,
            input_psnr=row["input_psnr_rgb"],
            reference_psnr=row.get("reference_psnr_rgb"),
            output_psnr=row["output_psnr_rgb"],
        )
        name = (one.pair.image, one.pair.variant)
        for kind, order in ((FIRST, name), (WORST, (trajectory.gain, *name))):
            shown = self._shown[kind].setdefault(one.task, [])
            shown.append(_Candidate(order, replace(trajectory, kind=kind)))
            shown.sort(key=lambda candidate: candidate.order)
            del shown[SHOWN[kind] :]
