"""Interleaved training processes: they run in turn, so that other load on the machine affects all alike."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import median
from typing import NamedTuple

from benchmarks.baseline_loop import LAP, BaselineLoop
from drdd.training.history import Progress
from drdd.training.job import Job, build_spec, settings_of
from drdd.training.learner import Worker
from drdd.training.loop import TrainerCallback, train

NICE = 15  # what Ray adds to the nice value of its workers


class TimedLap(NamedTuple):
    """LAP steps. step: seconds per step; between: seconds from their end to the next lap."""

    step: float
    between: float = 0.0


@dataclass(frozen=True)
class Ratio:
    """The ratios of two medians, one a round: their median, minimum and maximum."""

    usual: float
    least: float
    most: float


def ratio(laps: Sequence[Sequence[float]], to: Sequence[Sequence[float]]) -> Ratio:
    """laps, to: the laps of each round. Raises ValueError when the numbers of rounds differ."""
    every = [median(ours) / median(theirs) for ours, theirs in zip(laps, to, strict=True)]
    return Ratio(median(every), min(every), max(every))


class InterleavedProcess:
    """A process that trains only while it is asked for laps."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take(self, count: int) -> list[TimedLap]:
        """Run `count` laps, after a warm-up lap whose batches were drawn while the process waited."""
        return [self._lap() for _ in range(1 + count)][1:]

    def _lap(self) -> TimedLap:
        self._connection.send(None)
        lap: TimedLap = self._connection.recv()
        return lap


Runner = Callable[[Job, Connection], None]


def baseline(job: Job, connection: Connection) -> None:
    """The textbook training loop."""
    laps = BaselineLoop(build_spec(job), settings_of(job)).laps()
    connection.recv()
    for step in laps:
        connection.send(TimedLap(step))
        connection.recv()


def our_loop(job: Job, connection: Connection) -> None:
    """Our loop, with a callback that only waits between laps."""
    train(build_spec(job), settings_of(job), Worker(), _Paused(connection, settings_of(job).batch))


def our_loop_niced(job: Job, connection: Connection) -> None:
    """Our loop, at the nice value of Ray workers."""
    os.nice(NICE)
    our_loop(job, connection)


class _Paused(TrainerCallback):
    """Waits after each point until the next lap is asked for."""

    def __init__(self, connection: Connection, batch: int) -> None:
        self._connection, self._batch = connection, batch

    def begin(self, history: object) -> None:
        self._go_on()

    def report(self, progress: Progress) -> None:
        whole = time.perf_counter() - self._began
        step = self._batch / progress.point["images_per_second"]
        self._connection.send(TimedLap(step, max(0.0, whole - LAP * step)))
        self._go_on()

    def _go_on(self) -> None:
        self._connection.recv()
        self._began = time.perf_counter()


@contextmanager
def interleaved(runner: Runner, job: Job) -> Iterator[InterleavedProcess]:
    """Run `runner` in its own process. `take` raises EOFError when that process ends early."""
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=runner, args=(job, its), daemon=True)
    process.start()
    its.close()
    try:
        yield InterleavedProcess(mine)
    finally:
        process.kill()
        process.join()
