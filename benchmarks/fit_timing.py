"""Timing of runs of `fitted`: laps with and without a checkpoint, the time between them, waiting."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import psutil
import torch

from benchmarks.baseline_loop import LAP
from benchmarks.jobs import noise_job
from drdd.cluster.checkpoints import Checkpoints, Saver, network_digest
from drdd.cluster.launch import fitted
from drdd.training.history import Point, Progress
from drdd.training.job import build_spec, settings_of
from drdd.training.learner import Learner, Worker

REPEATS = 5


@dataclass(frozen=True)
class Run:
    """plain, saving: seconds a step of the laps without and with a checkpoint, but for the first lap;
    between: seconds from one lap to the next, in which a point is made and reported; waiting: of each
    lap but the first, the share in which steps waited for data; niceness: of the workers."""

    plain: list[float]
    saving: list[float]
    between: float
    waiting: list[float]
    niceness: list[int]


def run_of(
    points: Sequence[Point], batch: int, saved: Mapping[int, float], niceness: Sequence[int]
) -> Run:
    """saved: the seconds that the run's clock showed at each checkpoint, by its images; two at least."""
    steps = {round(point["images"]): batch / point["images_per_second"] for point in points}
    counted = list(steps)[1:]
    lap = LAP * batch
    first, last = min(saved), max(saved)
    within = [steps[images] for images in counted if first < images <= last]
    return Run(
        [steps[images] for images in counted if images - lap not in saved],
        [steps[images] for images in counted if images - lap in saved],
        (saved[last] - saved[first] - LAP * sum(within)) / len(within),
        [point["waiting"] for point in points[1:]],
        sorted(niceness),
    )


def fitted_run(workers: int, threads: int, laps: int) -> Run:
    """Of a lap that does not count, `laps` without and as many with a checkpoint."""
    batch = noise_job().params.train.noise.batch
    every, total = 2 * LAP * batch, (2 * laps + 2) * LAP * batch
    job = noise_job(
        images=total, checkpoint_every=every, keep=laps + 2, workers=workers, threads=threads
    )
    recorder = _Recorder()
    with TemporaryDirectory() as folder, fitted(job, "run", Path(folder), recorder):
        checkpoints = Checkpoints(f"{folder}/run", keep=laps + 2)
        saved = {
            mark.images: float(checkpoints.state(mark)["clock"]["seconds"])
            for mark in checkpoints.marks()
        }
    return run_of(recorder.points, batch, saved, recorder.niceness)


class _Recorder:
    """Records the points and the nice values of the workers."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.niceness: list[int] = []

    def begin(self, history: Sequence[Point]) -> None:
        processes = psutil.process_iter(["cmdline", "nice"])
        self.niceness = [
            process.info["nice"]
            for process in processes
            if "RayTrainWorker" in " ".join(process.info["cmdline"] or [])
        ]

    def report(self, progress: Progress) -> None:
        self.points.append(progress.point)

    def say(self, sentence: str) -> None:
        raise RuntimeError(sentence)  # nothing should be worth saying, and times would not count


@dataclass(frozen=True)
class Costs:
    """Seconds, in a process that does nothing else. submitted: a checkpoint holds up training;
    saved: it takes in its own thread; validated: a validation holds up training. mb: of a checkpoint."""

    submitted: float
    saved: float
    validated: float
    mb: float


def costs() -> Costs:
    """Of the stage as params.yaml has it; medians of REPEATS."""
    job = noise_job(validated=True)
    settings, spec = settings_of(job), build_spec(job)
    torch.set_num_threads(settings.threads)
    learner = Learner(spec, settings, Worker())
    learner.join()
    learner.learn(spec.draw(range(settings.batch)), 0, settings.learning_rate)
    state = {"step": 1, "learner": learner.state()}
    submitted: list[float] = []
    saved: list[float] = []
    validated: list[float] = []
    with TemporaryDirectory() as folder, learner.averaged() as net:
        checkpoints = Checkpoints(folder, settings.keep)
        saver = Saver(checkpoints, print)
        for turn in range(1, REPEATS + 1):
            with _timed(submitted):
                saver.submit(state, turn, turn * settings.batch, network_digest(learner.net))
            with _timed(saved):
                saver.flush()
            if spec.validate is not None:
                with _timed(validated):
                    spec.validate(net, torch.device("cpu"))
        size = checkpoints.marks()[-1].size
    return Costs(
        median(submitted), median(saved), median(validated) if validated else 0.0, size / 1e6
    )


@contextmanager
def _timed(seconds: list[float]) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds.append(time.perf_counter() - began)
