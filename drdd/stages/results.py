"""What evaluate writes: metrics, scores, latency, pictures and the report."""

import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from drdd.data.intake import Pixels
from drdd.data.pairs import Pair
from drdd.evaluation.metrics import score
from drdd.evaluation.pictures import Example, grid
from drdd.evaluation.report import Latency, Report, write_report
from drdd.evaluation.summary import Expected, headline, held_out_digest, summarise
from drdd.files import atomic_path, write_bytes, write_json
from drdd.params import FILE, Params
from drdd.serving.engine import Restoration
from drdd.stages.paths import EVALUATION, GAIN, GRID, METRICS, NOISE, REPORT, RESIDUAL, SUMMARY


@dataclass(frozen=True)
class Restored:
    """One held-out pair and what the service made of it in `seconds`; pixels are (H, W, 3) uint8."""

    task: str
    pair: Pair
    degraded: Pixels
    target: Pixels
    restoration: Restoration
    seconds: float

    @property
    def corpus(self) -> str:
        return self.pair.corpus

    @property
    def image(self) -> str:
        return self.pair.image


def write_results(params: Params, results: Sequence[Restored], held: dict[str, list[str]]) -> None:
    """held: the images that each task must have."""
    scores = _scores(results, params.metrics.crop_border)
    metrics = summarise(scores, _expected(params, results, held), params.metrics.crop_border)
    latency = _latency(results)
    examples = _examples(results, scores)

    EVALUATION.mkdir(parents=True, exist_ok=True)
    with atomic_path(EVALUATION / "images.parquet") as temporary:
        scores.to_parquet(temporary, index=False)
    seconds = pd.DataFrame(
        [(one.task, one.image, one.seconds) for one in results],
        columns=["task", "image", "seconds"],
    )
    write_bytes(EVALUATION / "latency.csv", seconds.to_csv(index=False).encode())
    write_json(METRICS, metrics)
    write_json(SUMMARY, headline(metrics))
    gains = [(name, row["gain"]["psnr_rgb"]) for name, row in metrics["tasks"].items()]
    table = pd.DataFrame(gains, columns=["task", "psnr_gain"])
    write_bytes(GAIN, table.to_csv(index=False).encode())
    with atomic_path(GRID) as temporary:
        grid([chosen[0] for chosen in examples.values()]).save(temporary, "PNG")
    write_report(
        REPORT,
        Report(
            metrics=metrics,
            scores=scores,
            examples=examples,
            curves={stage: pd.read_csv(folder / "curve.csv") for stage, folder in _trained(params)},
            latency=latency,
            provenance=_provenance(params),
            params=Path(FILE).read_text(),
        ),
    )


def _expected(
    params: Params, results: Sequence[Restored], held: dict[str, list[str]]
) -> dict[str, Expected]:
    """A task is gated when the inputs and targets of all its pairs show the same scenes."""
    return {
        name: Expected(
            images=images,
            held_out=held_out_digest((r.degraded, r.target) for r in results if r.task == name),
            min_psnr_gain=params.tasks[name].min_psnr_gain,
            max_drop_vs_champion=params.tasks[name].max_drop_vs_champion,
            gated=all(params.paired[paired].aligned for paired in params.tasks[name].paired),
        )
        for name, images in held.items()
    }


def _scores(results: Sequence[Restored], crop_border: int) -> pd.DataFrame:
    """One row a picture: task, corpus, image, and each metric of input, de-residual and output."""
    rows = []
    for one in results:
        pictures = {
            "input": one.degraded,
            "deresidual": one.restoration.deresidual,
            "output": one.restoration.output,
        }
        row: dict[str, object] = {
            "task": one.task,
            "corpus": one.corpus,
            "image": one.image,
        }
        for part, pixels in pictures.items():
            scored = asdict(score(pixels, one.target, crop_border))
            row |= {f"{part}_{metric}": value for metric, value in scored.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _latency(results: Sequence[Restored]) -> Latency:
    seconds = np.array([one.seconds for one in results])
    pixels = sum(one.degraded.shape[0] * one.degraded.shape[1] for one in results)
    return Latency(
        median=float(np.median(seconds)),
        p95=float(np.quantile(seconds, 0.95)),
        megapixels_per_second=pixels / 1e6 / float(seconds.sum()),
    )


def _examples(results: Sequence[Restored], scores: pd.DataFrame) -> dict[str, list[Example]]:
    """By task. Each task begins with another picture, so that the grid shows several."""
    by_task: dict[str, list[Example]] = {}
    for one, row in zip(results, scores.to_dict("records"), strict=True):
        by_task.setdefault(one.task, []).append(
            Example(
                task=one.task,
                image=one.image,
                input=one.degraded,
                deresidual=one.restoration.deresidual,
                output=one.restoration.output,
                target=one.target,
                input_psnr=row["input_psnr_rgb"],
                deresidual_psnr=row["deresidual_psnr_rgb"],
                output_psnr=row["output_psnr_rgb"],
            )
        )
    return {
        task: examples[turn % len(examples) :] + examples[: turn % len(examples)]
        for turn, (task, examples) in enumerate(by_task.items())
    }


def _trained(params: Params) -> list[tuple[str, Path]]:
    """What the method trains, in words, and where."""
    if params.method != "drdd":
        return [(f"{params.method} rival, pairs", RESIDUAL)]
    noise = "pairs" if params.train.noise.data == "pairs" else "unpaired"
    return [(f"noise stage, {noise}", NOISE), ("residual stage, pairs", RESIDUAL)]


def _provenance(params: Params) -> dict[str, str]:
    train, corpora, tasks = (
        params.train,
        ", ".join(sorted(params.corpora)),
        ", ".join(sorted(params.tasks)),
    )
    if params.method != "drdd":
        images = train.noise.images + train.residual.images
        trained = {f"{params.method} rival": f"{images} crops from pairs, tasks {tasks}"}
    else:
        learns = f"pairs, tasks {tasks}" if train.noise.data == "pairs" else f"corpora {corpora}"
        trained = {
            "noise stage": f"{train.noise.images} crops from {learns}, "
            f"conditioning {train.noise.conditioning}",
            "residual stage": f"{train.residual.images} crops from pairs, tasks {tasks}",
        }
    return trained | {
        "sampler": f"noise level {params.diffusion.noise_level:g}, {params.diffusion.residual_steps} "
        f"residual + {params.diffusion.noise_steps} noise steps",
        "seed": str(params.seed),
        "git": git_revision() or "not a git checkout",
    }


def git_revision() -> str:
    """The commit, with "-dirty" when files differ from it; "" outside of a git checkout."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    # The run itself writes dvc.lock, which therefore says nothing about the code.
    changed = git("status", "--porcelain", "--", ".", ":!dvc.lock")
    return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
