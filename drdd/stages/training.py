"""What train_noise and train_residual have in common: resume, run, keep the weights and the curve."""

import json
from collections.abc import Mapping, Sequence
from hashlib import file_digest, sha256
from pathlib import Path

import pandas as pd

from drdd.checkpoints.trained import write_trained
from drdd.cluster.launch import fitted
from drdd.cluster.live import Live, draw_grid, note
from drdd.files import write_bytes
from drdd.nets.families import NetworkConfig
from drdd.progress import Reporter
from drdd.stages.paths import BOARD, CHECKPOINTS, CURVE, LIVE, WEIGHTS
from drdd.training.history import Point, Progress
from drdd.training.job import Job, settings_of

FORMAT = 2  # of what a checkpoint holds: those of another are never gone on from
INDIFFERENT = {"checkpoint_every", "keep", "restarts", "min_workers"}  # to the result


def train_stage(
    job: Job, networks: Mapping[str, NetworkConfig], folder: Path, reporter: Reporter
) -> None:
    """Writes weights.safetensors (the EMA's) and curve.csv to `folder`, live numbers to its own place.

    networks: what the stage trains, by their parts of the model.
    """
    name = run_name(job)
    display = TrainingDisplay(Live(LIVE / job.stage, BOARD / name), reporter)
    with fitted(job, name, CHECKPOINTS, display) as trained:
        write_trained(folder / WEIGHTS, trained.weights, networks)
        curve = pd.DataFrame(trained.curve, columns=_columns(trained.curve))
        write_bytes(folder / CURVE, curve.to_csv(index=False).encode())
    display.live.end()


def _columns(curve: Sequence[Point]) -> list[str]:
    """In the order in which they first appear."""
    return list(dict.fromkeys(name for point in curve for name in point))


class TrainingDisplay:
    """Shows training while it runs: on the terminal, to DVC and in TensorBoard."""

    def __init__(self, live: Live, reporter: Reporter) -> None:
        self.live, self._reporter = live, reporter
        self._refused = False

    def begin(self, history: Sequence[Point]) -> None:
        self.live.begin(history)

    def report(self, progress: Progress) -> None:
        """A disk that is full takes no numbers; that is said once, and is no reason to stop training."""
        self._reporter.update(progress.images, progress.total, "images", note(progress.point))
        try:
            self.live.add(progress.point, draw_grid(progress.shown))
        except OSError as error:
            if not self._refused:
                self.say(f"the live numbers have a gap: {error}")
            self._refused = True

    def say(self, sentence: str) -> None:
        self._reporter.say(sentence)


def skip_stage(stage: str, folder: Path) -> None:
    """For a method without this stage: its outputs are there, and empty."""
    live = Live(LIVE / stage, BOARD / f"{stage}-none")
    live.begin([])
    live.end()
    write_trained(folder / WEIGHTS, {}, {})
    write_bytes(folder / CURVE, b"images,loss\n")


def run_name(job: Job) -> str:
    """The same for a run that goes on, another for one whose result would differ."""
    return f"{job.stage}-{_fingerprint(job)}"


def _fingerprint(job: Job) -> str:
    """Names the run by all that decides its result, so a changed run never resumes an old one."""
    decides = [
        FORMAT,
        job.params.seed,
        job.params.method,
        job.params.diffusion.model_dump(),
        settings_of(job).model_dump(exclude=INDIFFERENT),
        [
            {name: [(p.target, p.input) for p in pairs] for name, pairs in sorted(groups.items())}
            for groups in (job.pairs, job.held)
        ],
        _digest(job.init_from) if job.init_from else None,
    ]
    return sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]


def _digest(path: Path) -> str | dict[str, str]:
    """Of a file, or of each file of a folder."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return {str(file.relative_to(path)): str(_digest(file)) for file in files}
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
