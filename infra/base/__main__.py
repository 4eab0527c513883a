"""`python -m infra.base`: trains the base that drdd ships, or goes on from the one that is there.

It works in a clone of the last commit, build/base, by this very pipeline with the preset `base`: fetch the
photographs, `dvc repro judge`, and pack the candidate if it is better than the base before on the same
pictures. Interrupted, it goes on where it was. Each run has a seed of its own, so degradations, crops and
noise are new ones.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import torch
import typer
import yaml

from drdd.base.photographs import listed
from drdd.base.shipped import MODEL
from drdd.errors import UserError
from drdd.files import write_bytes
from drdd.params.presets import applied
from drdd.params.yaml_text import load_yaml
from infra.base.card import FIGURES, write_card
from infra.base.pack import pack
from infra.base.photographs import fetch

BASE, WORK = Path("drdd/base"), Path("build/base")
BEGUN = "begun.json"  # in WORK while a run is not finished
BEFORE = "before.json"  # in WORK: the PSNR of the base before


def train_base(images: int, scratch: bool) -> None:
    """images: crops that the residual stage sees; the noise stage sees an eighth of it.

    Raises UserError if an unfinished run was begun with others.
    """
    root = Path.cwd()
    work = root / WORK
    asked = {"images": images, "scratch": scratch}
    if not (work / BEGUN).exists():
        _begin(root, work, asked)
    elif (begun := json.loads((work / BEGUN).read_text())["asked"]) != asked:
        raise UserError(
            f"{WORK} has an unfinished run, which was begun with {_words(begun)}",
            f"go on with the same, or remove {WORK} to begin anew",
        )
    missing = fetch(work / "data/base", listed(), _say)
    if missing:
        _say(f"{len(missing)} photographs are missing; the base learns from the others")
    _run(work, "dvc", "repro", "judge")
    _keep_if_better(root, work)
    (work / BEGUN).unlink()


def _begin(root: Path, work: Path, asked: Mapping[str, Any]) -> None:
    """A fresh clone with the preset's params, which keeps the photographs of the clone before."""
    photographs = work / "data/base"
    kept = root / WORK.parent / "photographs"
    if photographs.exists():
        shutil.move(photographs, kept)
    shutil.rmtree(work, ignore_errors=True)
    _run(root, "git", "clone", "--quiet", "--", str(root), str(work))
    if kept.exists():
        (work / "data").mkdir()
        shutil.move(kept, photographs)
    runs = 0 if asked["scratch"] else _runs(root)
    start = "base" if runs else "scratch"
    content = applied(load_yaml(work / "params.yaml"), ["base"])
    content["seed"] = runs
    content["publish"]["registry"] = "registry"  # a folder: the local stack is not needed
    gpus = {"gpus": 1.0} if torch.cuda.is_available() else {}
    for stage, share in (("noise", 8), ("residual", 1)):
        images = asked["images"] // share
        every = max(1, images // 10)
        content["train"][stage] |= {
            "start": start,
            "images": images,
            "validate_every": every,
            "checkpoint_every": every // 2,
            **gpus,
        }
    (work / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    begun = {"runs": runs, "start": start, "asked": asked}
    write_bytes(work / BEGUN, json.dumps(begun).encode())


def _words(asked: Mapping[str, Any]) -> str:
    return f"--images {asked['images']}" + (" --scratch" if asked["scratch"] else "")


def _runs(root: Path) -> int:
    """How many runs made the base that is there."""
    figures = root / BASE / FIGURES
    return json.loads(figures.read_text())["runs"] if figures.exists() else 0


def _keep_if_better(root: Path, work: Path) -> None:
    """Pack the candidate into drdd/base, if its mean PSNR on the unseen photographs is higher.

    The base before is measured on the same pictures; the clone has it in its package.
    """
    begun = json.loads((work / BEGUN).read_text())
    gain = None
    if begun["runs"]:
        _run(work, sys.executable, "-m", "infra.base.before", BEFORE)
        before = json.loads((work / BEFORE).read_text())
        found = json.loads((work / "results/metrics.json").read_text())["tasks"]
        gain = mean(found[task]["output"]["psnr_rgb"] - before[task] for task in found)
    if gain is not None and gain <= 0:
        _say(f"the base stays: the new one has {gain:+.2f} dB on the unseen photographs")
        return
    pack(work / "models/candidate", root / BASE / MODEL.name)
    write_card(root / BASE, work, begun["runs"] + 1, begun["start"])
    _say(f"{BASE} is new" + ("" if gain is None else f": {gain:+.2f} dB on the unseen photographs"))


def _run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, env=_environment(folder), check=False)
    if done.returncode:
        raise UserError(
            f"`{' '.join(command)}` in {folder} ended with {done.returncode}",
            "mend what it says; `make base` then goes on from there",
        )


def _environment(folder: Path) -> dict[str, str]:
    """The clone's own code, not what is installed."""
    return os.environ | {"PYTHONPATH": str(folder)}


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


def main(
    images: Annotated[
        int, typer.Option(min=1000, help="crops that the residual stage sees in this run")
    ] = 600_000,
    scratch: Annotated[bool, typer.Option(help="from random weights, not from the base")] = False,
) -> None:
    """Train the base, or go on from it."""
    try:
        train_base(images, scratch)
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    typer.run(main)
