"""DRDD beside its baselines on the prepared data of this folder: the same loop, data and budget.

`python -m benchmarks.method` trains and judges every variant and prints the table;
`python -m benchmarks.method NAME...` only those; `--table` prints what was measured before.
`--images N` is the budget of each stage and `--channels N,N,N` the networks' size, params.yaml's by
default; `--seeds N` trains everything N times. The stages of DRDD begin from what params.yaml says (the
base, by default), the baselines and networks of another size from random weights.
Results: benchmarks/results/method/<label>/<name>.json. Judged in process on the held-out pictures.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from drdd.checkpoints.folder import save_model
from drdd.checkpoints.trained import read_trained, write_trained
from drdd.cluster.live import note
from drdd.data.library import Library, PicturePairs, Pictures
from drdd.data.pairs import HOLDOUT, TRAIN, Pair, choose_pairs
from drdd.inference.engine import Options, Restorer
from drdd.methods import find
from drdd.metrics.fidelity import psnr_rgb, ssim_rgb
from drdd.params import Params, load
from drdd.pictures.pixels import Pixels
from drdd.stages.prepared import paired, unpaired, whereabouts
from drdd.stages.starts import declared, find_start
from drdd.training.history import Progress
from drdd.training.job import Job, initial_weights_of
from drdd.training.learner import Worker
from drdd.training.loop import TrainerCallback, train
from drdd.training.samples import CleanSamples, PairSamples
from drdd.training.settings import method_of, networks_of, sampling_of, stage_settings
from drdd.training.specs import stage_spec

RESULTS = Path("benchmarks/results/method")
CACHE = Path(".drdd/bench")
FEW = 0.1
Judged = dict[str, dict[str, dict[str, float]]]  # by task, then picture, then metric
UNIFORM = "{first: 0, grid: 0, uniform: 1}"
FEWER = f"pairs={FEW}"
LOW = "diffusion.noise_level=0.05"
SCRATCH = "train.residual.start=scratch"
REGRESSION, COUPLED = (["method=regression", SCRATCH], ["method=coupled", SCRATCH])
# The base's noise stage sees the estimate.
ALONE = ["train.noise.conditioning=none", "train.noise.start=scratch"]
# The net sees only what its one step asks: t = T - 1.
ONE_STEP = [
    "diffusion.residual_steps=1",
    "train.residual.timestep_sampling={first: 1, grid: 0, uniform: 0}",
]
# A baseline trains one network on the images of both stages; HALF halves them to those of one stage.
HALF = "train.noise.images=16"
VARIANTS: dict[str, list[str]] = {
    "regression": [*REGRESSION],
    "regression, half the budget": [*REGRESSION, HALF],
    "coupled": [*COUPLED],
    "coupled, few pairs": [*COUPLED, FEWER],
    "coupled, s = 0.05": [*COUPLED, LOW],
    "coupled, s = 0.05, few pairs": [*COUPLED, LOW, FEWER],
    "coupled, two networks": ["method=coupled_two_networks", SCRATCH, HALF],
    "drdd": [],
    "drdd, few pairs": [FEWER],
    "drdd, s = 0.05": [LOW],
    "drdd, s = 0.05, few pairs": [LOW, FEWER],
    "drdd, true states": ["train.residual.rollout=false"],
    "drdd, true states, s = 0.05": ["train.residual.rollout=false", LOW],
    "drdd, uniform t": [f"train.residual.timestep_sampling={UNIFORM}"],
    "drdd, no balance": ["train.residual.balance=none"],
    "drdd, no condition": ALONE,
    "drdd, no condition, s = 0.05": [*ALONE, LOW],
    "drdd, one residual step": ONE_STEP,
    "drdd, one residual step, s = 0.05": [*ONE_STEP, LOW],
    "drdd, one residual step, s = 0.05, few pairs": [*ONE_STEP, LOW, FEWER],
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.method")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(VARIANTS))
    parser.add_argument("--images", type=int, help="budget of each stage")
    parser.add_argument("--channels", metavar="N,N,N", help="of the compact networks' levels")
    parser.add_argument("--seeds", type=int, default=1, help="how often each is trained")
    parser.add_argument("--label", default="default", help="where the results go")
    parser.add_argument("--table", action="store_true", help="of what was measured before")
    given = parser.parse_args()
    if unknown := set(given.names) - set(VARIANTS):
        parser.error(f"no variant is called {', '.join(unknown)}; there are {', '.join(VARIANTS)}")
    sizes = [
        f"train.{stage}.{key}={value}"
        for stage in ("noise", "residual")
        for key, value in (
            ("images", given.images),
            ("network.channels", given.channels and f"[{given.channels}]"),
            ("start", given.channels and "scratch"),
        )
        if value
    ]
    folder = RESULTS / given.label
    for name in [] if given.table else given.names or VARIANTS:
        chosen = [*sizes, *VARIANTS[name]]
        runs = [measure([*chosen, f"seed={seed}"]) for seed in range(given.seeds)]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name.replace(', ', '-').replace(' ', '')}.json"
        path.write_text(
            json.dumps({"name": name, "overrides": chosen, "runs": runs}, indent=1) + "\n"
        )
    print_table(folder)


def measure(overrides: list[str]) -> Judged:
    """Train what the variant needs and judge it on every held-out pair."""
    shares = [float(o.partition("=")[2]) for o in overrides if o.startswith("pairs=")]
    params = load(overrides=[o for o in overrides if not o.startswith("pairs=")])
    share = shares[0] if shares else 1.0
    shares_of = {"residual": share, "noise": 1.0}
    stages = [
        read_trained(trained(params, stage, shares_of[stage]))
        for stage in find(params.method).stages
    ]
    weights = {part: values for one in stages for part, values in one.weights.items()}
    networks = {part: config for one in stages for part, config in one.networks.items()}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder)
        save_model(model, weights, networks, sampling_of(params), sorted(params.tasks))
        restorer = Restorer.from_folder(model)
    torch.set_num_threads(1)
    tasks = {}
    held = paired(params.tasks, HOLDOUT)
    library = Library(whereabouts(held))
    for task, pairs in held.items():
        rows = []
        for target, degraded in PicturePairs(library, pairs):
            restored = restorer.restore(degraded, Options(seed=params.seed, states=True))
            states = {state.name: state.pixels for state in restored.states}
            estimate = states.get("estimate", restored.output)
            pictures = {"input": degraded, "estimate": estimate, "output": restored.output}
            rows.append({part: judged(pixels, target) for part, pixels in pictures.items()})
        tasks[task] = {
            part: {key: float(np.mean([row[part][key] for row in rows])) for key in rows[0][part]}
            for part in rows[0]
        }
    return tasks


def trained(params: Params, stage: str, share: float) -> Path:
    """The EMA weights of one stage, trained in process; kept, because variants share stages."""
    settings, method = stage_settings(params, stage), method_of(params)
    unread = {"eta"}
    if "noise" in method.stages:
        unread.add("residual_steps" if stage == "noise" else "noise_steps")
    diffusion = params.diffusion.model_dump(exclude=unread)
    of_loop = settings.model_dump(exclude=set() if params.method == "drdd" else {"rollout"})
    start = declared(params, stage)
    decides = json.dumps([stage, params.method, share, params.seed, diffusion, of_loop, start])
    kept = CACHE / f"{sha256(decides.encode()).hexdigest()[:16]}.safetensors"
    if kept.exists():
        return kept
    samples: CleanSamples | PairSamples
    if stage == "noise":
        clean = unpaired()
        ids = [picture.target for pictures in clean.values() for picture in pictures]
        photographs = Pictures(Library(whereabouts(clean)), ids)
        corrupted = params.train.noise.conditioning == "estimate"
        samples = CleanSamples(photographs, settings.crop, params.seed, corrupted)
    else:
        every = paired(params.tasks, TRAIN)
        library = Library(whereabouts(every))
        pairs = {task: PicturePairs(library, some(found, share)) for task, found in every.items()}
        samples = PairSamples(pairs, settings.crop, params.seed)
    job = Job(stage, params, {})
    initial = initial_weights_of(
        replace(job, init_from=find_start(job, kept.with_suffix(".start.json")).path)
    )
    spec = stage_spec(stage, method, samples, settings, params.seed, initial)
    weights = train(spec, settings, Worker(), _Shown()).weights
    write_trained(kept, weights, networks_of(params, stage), params.method)
    return kept


class _Shown(TrainerCallback):
    def report(self, progress: Progress) -> None:
        said = f"\r{progress.images}/{progress.total} images, {note(progress.point)} "
        print(said, end="", file=sys.stderr, flush=True)


def some(pairs: list[Pair], share: float) -> list[Pair]:
    """The nested share of a task's training pairs, as the prepare stage chooses them."""
    every = {f"{pair.target}/{pair.variant}": pair for pair in pairs}
    chosen = choose_pairs(list(every), share)
    return [pair for key, pair in every.items() if key in chosen]


def judged(pixels: Pixels, target: Pixels) -> dict[str, float]:
    """PSNR and SSIM in RGB; sharpness: mean gradient magnitude, relative to the target's."""
    steepness = [np.hypot(*np.gradient(x.mean(axis=2))).mean() for x in (pixels, target)]
    return {
        "psnr": psnr_rgb(pixels, target),
        "ssim": ssim_rgb(pixels, target),
        "sharpness": float(steepness[0] / steepness[1]),
    }


def print_table(folder: Path) -> None:
    """PSNR of the residual stage's estimate and of the output: means over pictures and seeds."""
    found = {r["name"]: r for p in folder.glob("*.json") if (r := json.loads(p.read_text()))}
    if not found:
        sys.exit(f"{folder} holds no results")
    first = next(iter(found.values()))
    tasks = sorted(first["runs"][0])
    shared = set.intersection(*(set(one["overrides"]) for one in found.values()))
    table = Table(
        box=None,
        title="PSNR (dB) estimate → output, held-out pictures; ± over seeds\n"
        + " ".join(sorted(shared)),
        title_justify="left",
    )
    for heading in ("variant", "seeds", *tasks, "mean", "±", "SSIM", "sharpness"):
        table.add_column(heading)

    def shown(runs: list[Judged], which: list[str], key: str, digits: int) -> str:
        means = (
            np.mean([run[task][part][key] for run in runs for task in which])
            for part in ("estimate", "output")
        )
        return " → ".join(f"{mean:.{digits}f}" for mean in means)

    for name in [name for name in VARIANTS if name in found]:
        runs = found[name]["runs"]
        means = [np.mean([run[task]["output"]["psnr"] for task in tasks]) for run in runs]
        table.add_row(
            name,
            str(len(runs)),
            *(shown(runs, [task], "psnr", 2) for task in tasks),
            shown(runs, tasks, "psnr", 2),
            f"{np.std(means, ddof=1):.2f}" if len(means) > 1 else "",
            shown(runs, tasks, "ssim", 3),
            shown(runs, tasks, "sharpness", 2),
        )
    Console(width=170).print(table)


if __name__ == "__main__":
    main()
