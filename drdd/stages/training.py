"""Common parts of train_noise and train_residual: run or resume training, and save weights and curve."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd

from drdd.checkpoints.trained import write_trained
from drdd.cluster.launch import fitted
from drdd.cluster.live import Live, draw_grid, note
from drdd.files import write_bytes, write_json
from drdd.nets.families import NetworkConfig
from drdd.params.yaml_text import load_yaml
from drdd.progress import Reporter
from drdd.shown import console
from drdd.stages.paths import BOARD, CHECKPOINTS, CURVE, LIVE, START, WEIGHTS
from drdd.stages.starts import Start, account_table, digest, find_start
from drdd.training.history import Point, Progress
from drdd.training.job import Job, initial_weights_of, settings_of
from drdd.training.settings import networks_of

FORMAT = 2  # of checkpoints; a run never resumes from another format
INDIFFERENT = {
    "checkpoint_every",
    "keep",
    "restarts",
    "min_workers",
}  # settings that do not affect the result


def train_stage(job: Job, folder: Path, reporter: Reporter) -> None:
    """Train from what the stage's `start` names, and say from what.

    Writes weights.safetensors (of the EMA), curve.csv and start.json to `folder`, live metrics to LIVE.
    Raises UserError, before any training, when the start does not fit.
    """
    kept = CHECKPOINTS / f"{run_name(job)}.start.json"
    start = find_start(job, kept)
    job = replace(job, init_from=start.path)
    networks = _announced(start, job)
    name = run_name(job)
    display = TrainingDisplay(Live(LIVE / job.stage, BOARD / name), reporter)
    with fitted(job, name, CHECKPOINTS, display) as trained:
        parameterization = job.params.train.noise.parameterization if job.stage == "noise" else None
        origin = (job.params.method, parameterization)
        write_trained(folder / WEIGHTS, trained.weights, networks, *origin)
        curve = pd.DataFrame(trained.curve, columns=_columns(trained.curve))
        write_bytes(folder / CURVE, curve.to_csv(index=False).encode())
        write_json(folder / START, {"from": start.origin})
    display.live.end()
    kept.unlink(missing_ok=True)


def _announced(start: Start, job: Job) -> Mapping[str, NetworkConfig]:
    """Print what the stage begins from; the networks that it trains, by part of the model."""
    initial = initial_weights_of(job)
    err = console(stderr=True, soft_wrap=True)
    if initial and initial.account:
        err.print(account_table(start, job.stage, initial.account))
    elif start.said:
        err.print(f"train_{job.stage}: {start.said}")
    return initial.networks if initial else networks_of(job.params, job.stage)


def _columns(curve: Sequence[Point]) -> list[str]:
    """Column names in order of first appearance."""
    return list(dict.fromkeys(name for point in curve for name in point))


class TrainingDisplay:
    """Shows training in progress on the terminal, in DVC and in TensorBoard."""

    def __init__(self, live: Live, reporter: Reporter) -> None:
        self.live, self._reporter = live, reporter
        self._refused = False

    def begin(self, history: Sequence[Point]) -> None:
        self.live.begin(history)

    def report(self, progress: Progress) -> None:
        """Show a point. A full disk is reported once and does not stop training."""
        self._reporter.update(progress.images, progress.total, "images", note(progress.point))
        try:
            self.live.add(progress.point, draw_grid(progress.shown))
        except OSError as error:
            if not self._refused:
                self.say(f"the live numbers have a gap: {error}")
            self._refused = True

    def say(self, sentence: str) -> None:
        self._reporter.say(sentence)


def skip_stage(stage: str, folder: Path, method: str) -> None:
    """Write empty outputs, for a method without this stage."""
    live = Live(LIVE / stage, BOARD / f"{stage}-none")
    live.begin([])
    live.end()
    write_trained(folder / WEIGHTS, {}, {}, method)
    write_bytes(folder / CURVE, b"images,loss\n")
    write_json(folder / START, {"from": None})


def run_name(job: Job) -> str:
    """The name of a run: the same for a resumed run, another if the result would differ."""
    return f"{job.stage}-{_fingerprint(job)}"


def _fingerprint(job: Job) -> str:
    """A hash of everything that affects the result, so that a changed run never resumes an old one."""
    decides = [
        FORMAT,
        job.params.seed,
        job.params.method,
        job.params.diffusion.model_dump(),
        settings_of(job).model_dump(exclude=INDIFFERENT),
        [
            {
                name: [(p.target, p.input, p.scale) for p in pairs]
                for name, pairs in sorted(groups.items())
            }
            for groups in (job.pairs, job.held)
        ],
        digest(job.init_from) if job.init_from else None,
        _code(f"train_{job.stage}"),
    ]
    return sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]


def _code(stage: str) -> dict[str, Any]:
    """The hashes of the code that dvc.yaml declares for a stage; {} outside of a project."""
    graph = Path("dvc.yaml")
    if not graph.exists():
        return {}
    deps = load_yaml(graph)["stages"][stage]["deps"]
    return {dep: digest(Path(dep)) for dep in deps if dep.startswith("drdd/")}
