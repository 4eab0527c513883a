"""Measure the harmonization of the prepared data: crops of each corpus and task over noise levels.

This is not a stage of dvc.yaml, because nothing depends on it. `drdd harmonize` calls it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from drdd.data.library import Library, PicturePairs, Pictures
from drdd.data.pairs import TRAIN
from drdd.diffusion.keyed import keyed_generator
from drdd.errors import UserError
from drdd.files import write_bytes
from drdd.harmonize import measure as harmonization
from drdd.harmonize.measure import Embedding, Suggestion
from drdd.harmonize.plot import plot
from drdd.metrics.features import SIDE, Features
from drdd.params import Params
from drdd.pictures.pixels import Pixels
from drdd.stages.paths import MEMBERS, PAIRS, UNPAIRED
from drdd.stages.prepared import UNPAIRED_GROUP, paired, unpaired, whereabouts
from drdd.training.order import crop_alike, item_of

TABLE, PLOT = Path("results/harmonization.csv"), Path("results/harmonization.svg")
LEVELS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0)
COUNT, CROP = 256, 64
FEWEST = 8  # minimum size of a set; the estimates need tens, better hundreds


@dataclass(frozen=True)
class Harmonization:
    """The measurements, with columns COLUMNS; they are also written to TABLE and PLOT."""

    table: pd.DataFrame
    suggestion: Suggestion


def harmonize(
    params: Params,
    count: int = COUNT,
    crop: int = CROP,
    levels: Sequence[float] = LEVELS,
    seed: int | None = None,
    features: Embedding | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Harmonization:
    """Measure `count` crops of `crop` pixels of every corpus and task of params; write the results.

    seed: that of params by default. features: EfficientNet-Lite0's by default.
    Reads the training shards of the workspace that is the current folder.
    """
    _check(count, crop, levels)
    _check_prepared(params)
    seed = params.seed if seed is None else seed
    clean, tasks = unpaired(), paired(params.tasks, TRAIN)
    library = Library([*whereabouts(clean), *whereabouts(tasks)])
    domains = {}
    for name in params.train.noise.corpora or params.corpora:
        ids = [picture.target for picture in clean[UNPAIRED_GROUP] if picture.corpus == name]
        photographs = [(pixels,) for pixels in Pictures(library, ids)]
        (domains[name],) = _crops(photographs, f"corpora/{name}", count, crop, seed)
    pairs = {}
    for name, found in tasks.items():
        both = PicturePairs(library, found)
        targets, inputs = _crops(both, f"tasks/{name}", count, crop, seed)
        pairs[name] = (inputs, targets)
    table = harmonization.harmonize(domains, pairs, levels, features or Features(), seed, progress)
    suggestion = harmonization.suggest(table)
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_bytes(TABLE, text.encode())
    write_bytes(PLOT, plot(table))
    return Harmonization(table, suggestion)


def _crops(
    items: Sequence[tuple[Pixels, ...]], name: str, count: int, size: int, seed: int
) -> list[Tensor]:
    """(count, 3, size, size) in [-1, 1] for each place of the items' tuples, cropped alike.

    The n-th crop is a pure function of (seed, name, n); every photograph has its turn.
    """
    if not items:
        raise UserError(f"{name}: it has nothing to train on; there is nothing to measure")
    drawn = [
        crop_alike(
            list(items[item_of(seed, f"harmonize/{name}", n, len(items))]),
            size,
            keyed_generator(seed, "harmonize", "crop", name, n),
        )
        for n in range(count)
    ]
    return [torch.stack(crops) for crops in zip(*drawn, strict=True)]


def _check(count: int, crop: int, levels: Sequence[float]) -> None:
    wrong = []
    if count < FEWEST:
        wrong.append(f"count is {count}; at least {FEWEST} crops of each set are needed")
    if crop < SIDE:
        wrong.append(f"crop is {crop}; the feature network needs at least {SIDE} pixels")
    if not any(level > 0 for level in levels) or not all(0 <= level <= 1 for level in levels):
        given = ", ".join(f"{level:g}" for level in levels)
        wrong.append(
            f"levels are {given}; give some in [0, 1], as diffusion.noise_level, not only 0"
        )
    if wrong:
        raise UserError(f"harmonize: {'; '.join(wrong)}")


def _check_prepared(params: Params) -> None:
    tables = [UNPAIRED, *(PAIRS / name / MEMBERS for name in params.tasks)]
    if missing := [str(table) for table in tables if not table.is_file()]:
        raise UserError(f"{', '.join(missing)}: not there; run `dvc repro prepare` first")
