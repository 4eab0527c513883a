"""Where a result comes from: which data, what was trained on it, by which code."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from drdd.params import Params
from drdd.stages.paths import CORPORA, NOISE, PAIRS, RESIDUAL, SPLIT


def git_revision() -> str:
    """The commit, with "-dirty" when files differ from it; "" outside of a git checkout."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    # The run itself writes dvc.lock, which therefore says nothing about the code.
    changed = git("status", "--porcelain", "--", ".", ":!dvc.lock")
    return git("rev-parse", "HEAD") + ("-dirty" if changed else "")


def trained(params: Params) -> list[tuple[str, Path]]:
    """What the method trains, in words, and where."""
    if params.method != "drdd":
        return [(f"{params.method} baseline, pairs", RESIDUAL)]
    noise = "pairs" if params.train.noise.data == "pairs" else "unpaired"
    return [(f"noise stage, {noise}", NOISE), ("residual stage, pairs", RESIDUAL)]


def provenance(params: Params) -> dict[str, str]:
    """By name, for a person."""
    train, corpora, tasks = (
        params.train,
        ", ".join(sorted(params.corpora)),
        ", ".join(sorted(params.tasks)),
    )
    if params.method != "drdd":
        images = train.noise.images + train.residual.images
        learned = {f"{params.method} baseline": f"{images} crops from pairs, tasks {tasks}"}
    else:
        learns = f"pairs, tasks {tasks}" if train.noise.data == "pairs" else f"corpora {corpora}"
        learned = {
            "noise stage": f"{train.noise.images} crops from {learns}, "
            f"conditioning {train.noise.conditioning}",
            "residual stage": f"{train.residual.images} crops from pairs, tasks {tasks}",
        }
    return learned | {
        "sampler": f"noise level {params.diffusion.noise_level:g}, {params.diffusion.residual_steps} "
        f"residual + {params.diffusion.noise_steps} noise steps",
        "seed": str(params.seed),
        "git": git_revision() or "not a git checkout",
    }


def corpus_cards() -> list[dict[str, Any]]:
    """What ingest wrote about each corpus that is used, with its counts in the split."""
    counts = json.loads((SPLIT / "card.json").read_text())
    return [card | counts[card["corpus"]] for card in _cards(CORPORA, counts)]


def task_cards(params: Params) -> list[dict[str, Any]]:
    """What prepare wrote about each task."""
    return _cards(PAIRS, params.tasks)


def _cards(folder: Path, names: Iterable[str]) -> list[dict[str, Any]]:
    return [json.loads((folder / name / "card.json").read_text()) for name in sorted(names)]
