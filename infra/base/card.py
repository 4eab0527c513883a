"""What ships beside the base's weights: card, figures, curves, params, the pictures it learned from."""

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from drdd.base.photographs import listed
from drdd.data.pairs import TRAIN, read_pairs
from drdd.data.shards import read_known
from drdd.files import write_bytes, write_json
from drdd.params.yaml_text import load_yaml

CARD, FIGURES, PARAMS = "README.md", "figures.json", "params.yaml"
PICTURES = "pictures.parquet"  # as drdd/evaluation/seen.py reads it
STAGES = ("noise", "residual")
TEXT = """\
# The base

A noise stage and a residual stage, trained by this project's own pipeline with the preset `base`. Every
project begins from them, unless its params say otherwise. `make base` goes on from them.

## Quality on photographs that it never saw

{quality}

The reference is what a person would use without training (docs/evaluation.md). The base is not told what
is wrong with a picture, and may take one fault for another, so look at what it makes. Its mean PSNR is
below that of the input on {below_input}; below that of the reference on {below_reference}.

## Training

Run {runs}, from {start}, seed {seed}: at most {noise:,} crops in the noise stage and {residual:,} in the
residual stage. All settings: [params.yaml](params.yaml); losses and validations: [noise.csv](noise.csv),
[residual.csv](residual.csv).

## Data

{photographs} photographs; [photographs.csv](photographs.csv) has the package, author, licence and source of
each, and another {unseen} that are held out to judge the base. Both stages also learned from night skies,
and the noise stage from dead leaves, which drdd/synthetic draws. [pictures.parquet](pictures.parquet) has
identifiers and thumbnails of all photographs that it learned from; evaluation says when a held-out picture
is one of them.

{licences}
"""


def write_card(base: Path, work: Path, runs: int, start: str) -> None:
    """Write all but the weights to `base`. work: the project that trained; runs: this one included."""
    params = load_yaml(work / PARAMS)
    metrics = json.loads((work / "results/metrics.json").read_text())
    shutil.copyfile(work / PARAMS, base / PARAMS)
    for stage in STAGES:
        shutil.copyfile(work / f"models/{stage}/curve.csv", base / f"{stage}.csv")
    psnr = {task: entry["output"]["psnr_rgb"] for task, entry in metrics["tasks"].items()}
    write_json(base / FIGURES, {"runs": runs, "psnr": psnr})
    _write_pictures(base, work, params)
    write_bytes(base / CARD, _card(params, metrics, runs, start).encode())


def _write_pictures(base: Path, work: Path, params: Mapping[str, Any]) -> None:
    """The ids and thumbnails of all photographs that a stage learned from, at each of their sizes."""
    corpora = sorted(name for name in params["corpora"] if name not in params["synthetic"])
    trained = {
        pair.target
        for task in params["tasks"]
        for pair in read_pairs(work / f"data/pairs/{task}/members.csv", TRAIN)
    }
    known = read_known([work / "data/corpora" / name for name in corpora])
    rows = [
        row for row in known.select(["id", "name", "thumbnail"]).to_pylist() if row["id"] in trained
    ]
    table = known.schema.empty_table().select(["id", "name", "thumbnail"]).from_pylist(rows)
    pq.write_table(table, base / PICTURES, compression="zstd")


def _card(params: Mapping[str, Any], metrics: Mapping[str, Any], runs: int, start: str) -> str:
    photographs = [one for one in listed() if one.split == TRAIN]
    licences = Counter(one.licence for one in photographs)
    return TEXT.format(
        quality="\n".join(_quality(metrics)),
        below_input=_below("input", metrics),
        below_reference=_below("reference", metrics),
        runs=runs,
        start="the base before it" if start == "base" else "random weights",
        seed=params["seed"],
        noise=params["train"]["noise"]["images"],
        residual=params["train"]["residual"]["images"],
        photographs=len(photographs),
        unseen=len(listed()) - len(photographs),
        licences="\n".join(
            _table(
                ["licence", "photographs"], [[name, str(n)] for name, n in licences.most_common()]
            )
        ),
    )


def _quality(metrics: Mapping[str, Any]) -> list[str]:
    heads = ["task", "input, dB", "reference, dB", "base, dB", "reference's SSIM", "base's SSIM"]
    return _table(heads, [_row(task, entry) for task, entry in sorted(metrics["tasks"].items())])


def _below(part: str, metrics: Mapping[str, Any]) -> str:
    """The tasks on which the base's mean PSNR is lower than that of `part`."""
    tasks = [
        task
        for task, entry in sorted(metrics["tasks"].items())
        if entry.get(part) and entry["output"]["psnr_rgb"] < entry[part]["psnr_rgb"]
    ]
    return ", ".join(tasks) or "no task"


def _row(task: str, entry: Mapping[str, Any]) -> list[str]:
    reference = entry.get("reference") or {}
    cells = [
        entry["input"]["psnr_rgb"],
        reference.get("psnr_rgb"),
        entry["output"]["psnr_rgb"],
    ]
    ssims = [reference.get("ssim_rgb"), entry["output"]["ssim_rgb"]]
    return [
        task,
        *("" if value is None else f"{value:.2f}" for value in cells),
        *("" if value is None else f"{value:.3f}" for value in ssims),
    ]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
