"""DRDD beside its rivals on the prepared data of this folder: the same loop, data and budget.

`python -m benchmarks.method` trains and judges every variant and prints the table;
`python -m benchmarks.method NAME...` only those; `--table` prints what was measured before.
Results: benchmarks/results/method/<name>.json. Judged in process on the held-out pictures.
"""

import json
import sys
import tempfile
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file, save

from drdd.data.intake import Pixels
from drdd.data.shards import HOLDOUT, TRAIN, read_corpus, read_pairs
from drdd.data.split import choose_pairs
from drdd.evaluation.metrics import score
from drdd.files import write_bytes
from drdd.nets.model import save_model
from drdd.params import Params, load
from drdd.serving.engine import Restorer
from drdd.stages.paths import CORPORA, PAIRS
from drdd.training.launch import Job, settings_of
from drdd.training.loop import Progress, Worker, train
from drdd.training.networks import networks, sampling_of
from drdd.training.samples import CleanSamples, PairSamples
from drdd.training.specs import noise_spec, residual_spec

RESULTS = Path("benchmarks/results/method")
CACHE = Path(".drdd/bench")
FEW = 0.1
UNIFORM = "{start: 0, grid: 0, uniform: 1}"
VARIANTS: dict[str, list[str]] = {
    "regression": ["method=regression"],
    "regression, few pairs": ["method=regression", f"pairs={FEW}"],
    "regression, half the budget": ["method=regression", "train.noise.images=16"],
    "coupled": ["method=coupled"],
    "coupled, few pairs": ["method=coupled", f"pairs={FEW}"],
    "drdd": [],
    "drdd, few pairs": [f"pairs={FEW}"],
    "drdd, estimate": ["train.noise.conditioning=estimate"],
    "drdd, estimate, few pairs": ["train.noise.conditioning=estimate", f"pairs={FEW}"],
    "drdd, s = 0.05": ["diffusion.noise_level=0.05"],
    "drdd, s = 0.1": ["diffusion.noise_level=0.1"],
    "drdd, uniform t": [f"train.residual.time_draw={UNIFORM}", f"train.noise.time_draw={UNIFORM}"],
    "drdd, no balance": ["train.residual.balance=none"],
}


def main() -> None:
    names = [name for name in sys.argv[1:] if name != "--table"]
    if unknown := set(names) - set(VARIANTS):
        sys.exit(f"no variant is called {unknown}; there are {', '.join(VARIANTS)}")
    if "--table" not in sys.argv:
        for name in names or VARIANTS:
            result = measure(VARIANTS[name])
            RESULTS.mkdir(parents=True, exist_ok=True)
            path = RESULTS / f"{name.replace(', ', '-').replace(' ', '')}.json"
            path.write_text(json.dumps({"name": name} | result, indent=1) + "\n")
    print_table()


def measure(overrides: list[str]) -> dict[str, object]:
    """Train what the variant needs and judge it on every held-out pair."""
    shares = [float(o.partition("=")[2]) for o in overrides if o.startswith("pairs=")]
    params = load(overrides=[o for o in overrides if not o.startswith("pairs=")])
    share = shares[0] if shares else 1.0
    weights = {"residual": trained(params, "residual", share)}
    if params.method == "drdd":
        weights["noise"] = trained(params, "noise", 1.0)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder)
        save_model(model, weights, networks(params), sampling_of(params), sorted(params.tasks))
        restorer = Restorer.from_folder(model, params.seed)
    torch.set_num_threads(1)
    tasks = {}
    for task in sorted(params.tasks):
        rows = []
        for pair in read_pairs(PAIRS / task / HOLDOUT):
            degraded, target = pair.degraded[0], pair.target.photograph.pixels
            restored = restorer.restore(degraded)
            pictures = {"input": degraded, "estimate": restored.estimate, "output": restored.output}
            rows.append({part: judged(pixels, target) for part, pixels in pictures.items()})
        tasks[task] = {
            part: {key: float(np.mean([row[part][key] for row in rows])) for key in rows[0][part]}
            for part in rows[0]
        }
    return {"overrides": overrides, "images": settings_of(Job("residual", params, {})).images} | {
        "tasks": tasks
    }


def trained(params: Params, stage: str, share: float) -> dict[str, torch.Tensor]:
    """The EMA weights of one stage, trained in process; kept, because variants share stages."""
    job = Job(stage, params, {})
    settings, schedule = settings_of(job), sampling_of(params).schedule()
    decides = [stage, params.method, share, str(params.diffusion), str(settings), params.seed]
    kept = CACHE / f"{sha256(repr(decides).encode()).hexdigest()[:16]}.safetensors"
    if kept.exists():
        return load_file(kept)
    if stage == "noise":
        photographs = [
            row.photograph.pixels
            for corpus in sorted(params.corpora)
            for row in read_corpus(CORPORA / corpus / TRAIN)
        ]
        corrupted = params.train.noise.conditioning == "estimate"
        samples = CleanSamples(photographs, settings.crop, params.seed, corrupted)
        spec = noise_spec(samples, params.train.noise, params.diffusion, schedule, params.seed)
    else:
        pairs = {task: some_pairs(task, share) for task in sorted(params.tasks)}
        spec = residual_spec(
            PairSamples(pairs, settings.crop, params.seed),
            params.train.residual,
            params.diffusion,
            schedule,
            params.seed,
            params.method,
        )
    weights = train(spec, settings, Worker(report=_show)).weights
    write_bytes(kept, save({name: value.contiguous() for name, value in weights.items()}))
    return weights


def _show(progress: Progress) -> None:
    said = f"\r{progress.images}/{progress.total} images, loss {progress.loss:.4f} "
    print(said, end="", file=sys.stderr, flush=True)


def some_pairs(task: str, share: float) -> list[tuple[Pixels, Pixels]]:
    """The nested share of a task's training pairs, as the prepare stage chooses them."""
    rows = read_pairs(PAIRS / task / TRAIN)
    every = {
        f"{row.target.photograph.id}/{v}": (row.target.photograph.pixels, degraded)
        for row in rows
        for v, degraded in enumerate(row.degraded)
    }
    chosen = choose_pairs(list(every), share)
    return [pair for key, pair in every.items() if key in chosen]


def judged(pixels: Pixels, target: Pixels) -> dict[str, float]:
    """PSNR and SSIM in RGB; sharpness: mean gradient magnitude, relative to the target's."""
    scored = asdict(score(pixels, target))
    steepness = [np.hypot(*np.gradient(x.mean(axis=2))).mean() for x in (pixels, target)]
    return {
        "psnr": scored["psnr_rgb"],
        "ssim": scored["ssim_rgb"],
        "sharpness": float(steepness[0] / steepness[1]),
    }


def print_table() -> None:
    """PSNR of the residual stage's estimate and of the output, by task, with the means of all."""
    found = {
        r["name"]: r for p in sorted(RESULTS.glob("*.json")) if (r := json.loads(p.read_text()))
    }
    tasks = sorted(next(iter(found.values()))["tasks"])
    table = Table(
        box=None, title="PSNR (dB) estimate → output, held-out pictures", title_justify="left"
    )
    for heading in ("variant", *tasks, "mean", "SSIM", "sharpness"):
        table.add_column(heading)
    for name in [name for name in VARIANTS if name in found]:
        rows = found[name]["tasks"]
        mean = {
            part: {
                k: np.mean([rows[t][part][k] for t in tasks]) for k in ("psnr", "ssim", "sharpness")
            }
            for part in ("estimate", "output")
        }
        cells = [
            f"{rows[t]['estimate']['psnr']:.2f} → {rows[t]['output']['psnr']:.2f}" for t in tasks
        ]
        table.add_row(
            name,
            *cells,
            f"{mean['estimate']['psnr']:.2f} → {mean['output']['psnr']:.2f}",
            f"{mean['estimate']['ssim']:.3f} → {mean['output']['ssim']:.3f}",
            f"{mean['estimate']['sharpness']:.2f} → {mean['output']['sharpness']:.2f}",
        )
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
