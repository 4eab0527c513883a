"""Held-out pictures restored by the champion and by the candidate, saved by compare for the report."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from drdd.evaluation.trajectories import read_saved, saved
from drdd.files import atomic_path, write_json
from drdd.pictures.pixels import Pixels

REMARKS, TABLE = "comparison.json", "pictures.parquet"


@dataclass(frozen=True)
class SideBySide:
    """One held-out picture; all of its pictures are (H, W, 3) uint8 of one size.

    reference: what the task's reference makes of the input, None without one; *_psnr: in dB, RGB;
    held_out: whether the champion was evaluated on this picture too, so did not learn from it.
    """

    task: str
    image: str
    variant: int
    input: Pixels
    champion: Pixels
    candidate: Pixels
    target: Pixels
    reference: Pixels | None
    input_psnr: float
    champion_psnr: float
    candidate_psnr: float
    held_out: bool

    @property
    def change(self) -> float:
        """PSNR of the candidate minus that of the champion, in dB: negative for a loss."""
        return self.candidate_psnr - self.champion_psnr


@dataclass(frozen=True)
class Comparison:
    """champion: its version, None without one; notes: sentences on what is not shown, and why."""

    champion: str | None
    notes: tuple[str, ...] = ()
    pictures: tuple[SideBySide, ...] = ()


PIXELS = ("input", "champion", "candidate", "target", "reference")
OTHERS = tuple(field.name for field in fields(SideBySide) if field.name not in PIXELS)


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Write a table with a row a picture, the worst loss first, in JPEG; and what else there is to say."""
    rows = []
    order = sorted(comparison.pictures, key=lambda one: (one.change, one.task, one.image))
    for one in order:
        pixels = {name: getattr(one, name) for name in PIXELS}
        content = {name: None if of is None else saved(of) for name, of in pixels.items()}
        rows.append({name: getattr(one, name) for name in OTHERS} | content)
    with atomic_path(folder / TABLE) as temporary:
        pd.DataFrame(rows, columns=[*OTHERS, *PIXELS]).to_parquet(temporary, index=False)
    write_json(folder / REMARKS, {"champion": comparison.champion, "notes": list(comparison.notes)})


def read_comparison(folder: Path) -> Comparison:
    """As written; pictures have sides of at most trajectories.SIDE."""
    said = json.loads((folder / REMARKS).read_text())
    rows: Any = pd.read_parquet(folder / TABLE).to_dict("records")
    pictures = []
    for row in rows:
        pixels = {n: None if row[n] is None else read_saved(row[n]) for n in PIXELS}
        pictures.append(SideBySide(**{name: row[name] for name in OTHERS} | pixels))
    return Comparison(said["champion"], tuple(said["notes"]), tuple(pictures))
