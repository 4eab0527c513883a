"""The provenance of a result: data, training and code."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from drdd.params import Params
from drdd.stages.paths import CORPORA, CURVE, NOISE, PAIRS, RESIDUAL, SPLIT


def git_revision() -> str:
    """The commit, with "-dirty" if files differ from it; "" outside of a git checkout."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    # dvc.lock is ignored, because the run itself changes it.
    changed = git("status", "--porcelain", "--", ".", ":!dvc.lock")
    return git("rev-parse", "HEAD") + ("-dirty" if changed else "")


def trained(params: Params) -> list[tuple[str, Path]]:
    """(description, folder) of each trained stage."""
    if not _has_noise_stage():
        return [(f"{params.method} baseline, pairs", RESIDUAL)]
    noise = "pairs" if params.train.noise.data == "pairs" else "unpaired"
    return [(f"noise stage, {noise}", NOISE), ("residual stage, pairs", RESIDUAL)]


def _has_noise_stage() -> bool:
    """Whether the method has a noise stage: its curve then has points."""
    return len((NOISE / CURVE).read_text().splitlines()) > 1


def provenance(params: Params) -> dict[str, str]:
    """The facts for people to read, by name."""
    train, corpora, tasks = (
        params.train,
        ", ".join(sorted(params.corpora)),
        ", ".join(sorted(params.tasks)),
    )
    if not _has_noise_stage():
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
    """The data cards of the corpora in use, with their counts in the split."""
    counts = json.loads((SPLIT / "card.json").read_text())
    return [card | counts[card["corpus"]] for card in _cards(CORPORA, counts)]


def task_cards(params: Params) -> list[dict[str, Any]]:
    """The cards that prepare wrote, one for each task."""
    return _cards(PAIRS, params.tasks)


def _cards(folder: Path, names: Iterable[str]) -> list[dict[str, Any]]:
    return [json.loads((folder / name / "card.json").read_text()) for name in sorted(names)]
