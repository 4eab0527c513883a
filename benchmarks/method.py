"""DRDD beside its baselines on the prepared data of this folder: the same loop, data and budget.

`python -m benchmarks.method` trains and judges every variant and prints the table;
`python -m benchmarks.method NAME...` only those; `--table` prints what was measured before.
`--images N` is the budget of each stage, by default what params.yaml says, and more from random weights;
`--seeds N` trains everything N times. Results: benchmarks/results/method/<label>/<name>.json. Judged in
process on the held-out pictures. The tables of docs/method.md are of a folder that benchmarks.unseen made.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from drdd.checkpoints.folder import save_model
from drdd.checkpoints.trained import read_trained, write_trained
from drdd.cluster.live import note
from drdd.data.library import Library, PicturePairs, Pictures
from drdd.data.pairs import HOLDOUT, TRAIN, Pair, choose_pairs
from drdd.inference.engine import Restorer
from drdd.inference.options import Options
from drdd.methods import find
from drdd.metrics.fidelity import psnr_rgb, ssim_rgb
from drdd.metrics.observed import Observed
from drdd.metrics.perception import feature_distance
from drdd.params import Params, load
from drdd.pictures.pixels import Pixels
from drdd.report.statistics import interval
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
FEW = 0.05
PARTS = ("input", "estimate", "output")
Judged = dict[str, dict[str, dict[str, list[float]]]]
"""By task, part and metric, a value for each held-out picture."""
FEWER = f"pairs={FEW}"
# Random weights need more images and a higher rate than the base, by whatever method. At the level 0.05,
# which was chosen for stages from the base, they were not measured.
SCRATCH = [
    "train.residual.start=scratch",
    "train.residual.images=16000",
    "train.residual.learning_rate=0.0003",
    "train.noise.images=16000",
    "diffusion.noise_level=0.1",
]
BOTH_SCRATCH = [*SCRATCH, "train.noise.start=scratch"]
# A baseline trains one network, on the images of both stages.
REGRESSION, COUPLED = (["method=regression", *SCRATCH], ["method=coupled", *SCRATCH])
VARIANTS: dict[str, list[str]] = {
    "drdd": [],
    "drdd, few pairs": [FEWER],
    "drdd, scratch": BOTH_SCRATCH,
    "drdd, scratch, few pairs": [*BOTH_SCRATCH, FEWER],
    "regression, scratch": REGRESSION,
    "regression, scratch, few pairs": [*REGRESSION, FEWER],
    "coupled, scratch": COUPLED,
    "coupled, scratch, few pairs": [*COUPLED, FEWER],
}
COMPARED = [
    ("drdd, few pairs", "drdd"),
    ("drdd, few pairs", "coupled, scratch, few pairs"),
    ("drdd, few pairs", "regression, scratch, few pairs"),
    ("drdd, scratch, few pairs", "coupled, scratch, few pairs"),
]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.method")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(VARIANTS))
    parser.add_argument("--images", type=int, help="budget of each stage")
    parser.add_argument("--seeds", type=int, default=1, help="how often each is trained")
    parser.add_argument("--label", default="default", help="where the results go")
    parser.add_argument("--table", action="store_true", help="of what was measured before")
    given = parser.parse_args()
    if unknown := set(given.names) - set(VARIANTS):
        parser.error(f"no variant is called {', '.join(unknown)}; there are {', '.join(VARIANTS)}")
    sizes = [f"train.{stage}.images={given.images}" for stage in ("noise", "residual")]
    sizes = sizes if given.images else []
    folder = RESULTS / given.label
    for name in [] if given.table else given.names or VARIANTS:
        chosen = [*VARIANTS[name], *sizes]
        runs = [measure([*chosen, f"seed={seed}"]) for seed in range(given.seeds)]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name.replace(', ', '-').replace(' ', '')}.json"
        path.write_text(json.dumps({"name": name, "overrides": chosen, "runs": runs}) + "\n")
    print_table(folder)


def measure(overrides: list[str]) -> Judged:
    """Train what the variant needs and judge it on every held-out pair."""
    shares = [float(o.partition("=")[2]) for o in overrides if o.startswith("pairs=")]
    params = load(overrides=[o for o in overrides if not o.startswith("pairs=")])
    share = shares[0] if shares else 1.0
    shares_of = {"residual": share, "noise": 1.0}
    restorer = restorer_of(params, shares_of)
    options = Options(seed=params.seed, states=True)
    return judged_by(lambda degraded: parts(restorer, degraded, options), params)


def restorer_of(params: Params, shares: Mapping[str, float]) -> Restorer:
    """The model of these params, trained on a share of the pairs in each stage; one thread."""
    stages = [
        read_trained(trained(params, stage, shares[stage])) for stage in find(params.method).stages
    ]
    weights = {part: values for one in stages for part, values in one.weights.items()}
    networks = {part: config for one in stages for part, config in one.networks.items()}
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), weights, networks, sampling_of(params), {})
        return Restorer.from_folder(Path(folder))


def parts(restorer: Restorer, degraded: Pixels, options: Options) -> dict[str, Pixels]:
    """The residual stage's own estimate, where there is one, and the output. options: with states."""
    restored = restorer.restore(degraded, options)
    states = {state.name: state.pixels for state in restored.states}
    return {"estimate": states.get("estimate", restored.output), "output": restored.output}


def judged_by(
    restore: Callable[[Pixels], dict[str, Pixels]], params: Params, every: int = 1
) -> Judged:
    """What `restore` makes of the held-out pairs, each or every second, and the input as it is, judged."""
    tasks: Judged = {}
    held = {task: pairs[::every] for task, pairs in paired(params.tasks, HOLDOUT).items()}
    library = Library(whereabouts(held))
    for task, pairs in held.items():
        rows = []
        for target, degraded in PicturePairs(library, pairs):
            seen = Observed(target)
            pictures = {"input": degraded, **restore(degraded)}
            rows.append({part: judged(pixels, seen) for part, pixels in pictures.items()})
        tasks[task] = {
            part: {key: [row[part][key] for row in rows] for key in rows[0][part]}
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
        samples = PairSamples(pairs, settings.crop, params.seed, params.train.residual.shares)
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


def judged(pixels: Pixels, target: Observed) -> dict[str, float]:
    """PSNR and SSIM in RGB, and the feature distance."""
    scores = {
        "psnr": psnr_rgb(pixels, target.pixels),
        "ssim": ssim_rgb(pixels, target.pixels),
        "features": feature_distance(Observed(pixels), target),
    }
    return {name: round(score, 4) for name, score in scores.items()}


def print_table(folder: Path) -> None:
    """PSNR of the residual stage's estimate and of the output: means over pictures and seeds."""
    found = {
        r["name"]: r["runs"] for p in folder.glob("*.json") if (r := json.loads(p.read_text()))
    }
    if not found:
        sys.exit(f"{folder} holds no results")
    first = next(iter(found.values()))[0]
    tasks = sorted(first)
    count = len(first[tasks[0]]["input"]["psnr"])
    table = Table(
        box=None,
        title=f"PSNR (dB) estimate → output, {count} held-out pictures a task; ± over seeds",
        title_justify="left",
    )
    for heading in ("variant", "seeds", *tasks, "mean", "±", "SSIM", "feature distance"):
        table.add_column(heading)
    runs = next(iter(found.values()))  # all have the same inputs
    table.add_row("input", "", *_cells(runs, tasks, lambda of: f"{of('input'):.2f}"))
    for name in [name for name in VARIANTS if name in found]:
        each = [_mean([run], tasks, "output", "psnr") for run in found[name]]
        table.add_row(
            name,
            str(len(each)),
            *_cells(found[name], tasks, lambda of: f"{of('estimate'):.2f} → {of('output'):.2f}"),
            f"{np.std(each, ddof=1):.2f}" if len(each) > 1 else "",
            *(
                " → ".join(f"{_mean(found[name], tasks, part, key):.3f}" for part in PARTS[1:])
                for key in ("ssim", "features")
            ),
        )
    Console(width=170).print(table)
    differences = Table(
        box=None,
        title="PSNR of the output less that of the other (dB), with 95 % intervals over photographs",
        title_justify="left",
    )
    for heading in ("variant", "less", *tasks, "mean"):
        differences.add_column(heading)
    for one, other in COMPARED:
        if {one, other} <= found.keys():
            differences.add_row(one, other, *_differences(found[one], found[other], tasks))
    Console(width=170).print(differences)


def _cells(
    runs: list[Judged], tasks: list[str], shown: Callable[[Callable[[str], float]], str]
) -> Iterator[str]:
    """For each task and for their mean; shown: makes a cell of the mean PSNR of each part."""
    for which in (*([task] for task in tasks), tasks):
        yield shown(partial(_mean, runs, which, key="psnr"))


def _mean(runs: list[Judged], tasks: list[str], part: str, key: str) -> float:
    return float(np.mean([np.mean(run[task][part][key]) for run in runs for task in tasks]))


def _differences(ours: list[Judged], theirs: list[Judged], tasks: list[str]) -> Iterator[str]:
    """Paired by picture; each photograph counts once, with the mean over seeds."""

    def of(runs: list[Judged], task: str) -> NDArray[np.float64]:
        return np.mean([run[task]["output"]["psnr"] for run in runs], axis=0)

    each = [of(ours, task) - of(theirs, task) for task in tasks]
    for values in (*each, np.mean(each, axis=0)):
        ends = interval(list(values), [str(n) for n in range(len(values))])
        assert ends
        yield f"{np.mean(values):+.2f} [{ends[0]:+.2f}, {ends[1]:+.2f}]"


if __name__ == "__main__":
    main()
