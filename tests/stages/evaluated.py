"""A workspace as evaluate leaves it, from small pictures that are restored as well as a test says."""

import json
from collections.abc import Mapping
from contextlib import chdir
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from drdd.data.pairs import HOLDOUT, Pair, write_pairs
from drdd.evaluation.held_out import Restored
from drdd.evaluation.results import Results
from drdd.evaluation.side_by_side import Comparison, write_comparison
from drdd.files import write_bytes, write_json
from drdd.inference.engine import Restoration, ShownState
from drdd.metrics.measures import Measures
from drdd.params import Params, load
from drdd.pictures.pixels import Pixels
from drdd.stages.paths import (
    CANDIDATE,
    COMPARISON,
    CORPORA,
    GRID,
    LATENCY,
    METRICS,
    PAIRS,
    SETS,
    SPLIT,
    START,
    TRAJECTORIES,
)
from drdd.stages.paths import IMAGES as SCORES
from tests.corpora import scene
from tests.project import tiny_params, write_params

IMAGES = ("a", "b", "c")
REFERENCE = 0.3  # how well the references of all tasks restore, as `quality` below
SIDE = {"least": 48, "median": 64, "most": 80}
CORPUS = {
    "corpus": "nature",
    "sources": ["here"],
    "licence": "CC0",
    "obtain": "",
    "pictures": 3,
    "pairs": None,
    "set_aside": 0,
    "width": SIDE,
    "height": SIDE,
    "megapixels": 0.01,
    "channel_mean": [1.0, 2.0, 3.0],
    "channel_std": [1.0, 2.0, 3.0],
}


def prepare(workspace: Path) -> Params:
    """All that judge and publish read besides what `evaluate` writes."""
    write_params(workspace, tiny_params())
    write_json(SPLIT / "card.json", {"nature": {"train": 2, "holdout": 1, "leaked": 0}})
    write_json(CORPORA / "nature/card.json", CORPUS)
    for task in tiny_params()["tasks"]:
        write_json(
            PAIRS / task / "card.json",
            {"task": task, "train_pairs": 1, "of": 1, "holdout_pairs": 3},
        )
        write_pairs(PAIRS / task / "members.csv", [_pair(task, image) for image in IMAGES])
    for stage in ("noise", "residual"):
        Path("models", stage).mkdir(parents=True)
        Path("models", stage, "curve.csv").write_text("images,loss\n80,1.0\n160,0.5\n")
        write_json(Path("models", stage, START), {"from": "scratch"})
    Path("dvc.lock").write_text("stages: {judge: {}, publish: {}}")
    return load()


def evaluate(weights: bytes, quality: Mapping[str, float]) -> None:
    """quality: of each task, from 0 (what came in) to 1 (the target). No picture is beside a champion's."""
    CANDIDATE.mkdir(parents=True, exist_ok=True)
    (CANDIDATE / "model.safetensors").write_bytes(weights)
    for name, content in _measured(tuple(quality.items())).items():
        write_bytes(Path(name), content)
    write_comparison(COMPARISON, Comparison(None))


@cache
def _measured(quality: tuple[tuple[str, float], ...]) -> dict[str, bytes]:
    """The files below `results`, by their paths. Measuring costs a second, so it is done once."""
    results = Results(0, Measures())
    for task, share in quality:
        for number, image in enumerate(IMAGES):
            target = scene(number, 48, 64)
            noise = np.random.default_rng(number).normal(0, 30, target.shape)
            degraded = (target + noise).clip(0, 255).astype(np.uint8)
            output = _between(degraded, target, share)
            states = (
                ShownState("noised input", degraded),
                ShownState("de-residual 1", _between(degraded, target, share / 2)),
                ShownState("de-noise 1", output),
            )
            restoration = Restoration(output, states)
            pair = _pair(task, image)
            reference = _between(degraded, target, REFERENCE)
            results.add(Restored(task, pair, degraded, reference, target, restoration, 0.25, 1))
    with TemporaryDirectory() as folder, chdir(folder):
        results.write(SCORES, LATENCY, SETS, TRAJECTORIES, GRID)
        files = [path for path in Path().rglob("*") if path.is_file()]
        return {path.as_posix(): path.read_bytes() for path in files}


def metrics() -> dict[str, object]:
    return dict(json.loads(METRICS.read_text()))


def _pair(task: str, image: str) -> Pair:
    return Pair("nature", f"{image}.png", f"target {image}", f"{task} {image}", HOLDOUT)


def _between(degraded: Pixels, target: Pixels, share: float) -> Pixels:
    mixed = (1 - share) * degraded.astype(float) + share * target
    return mixed.round().astype(np.uint8)
