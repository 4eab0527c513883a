"""Training in processes that take turns, so that what a machine does besides meets them alike."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import median
from typing import NamedTuple

from benchmarks.bare import LAP, Bare
from drdd.training.history import Progress
from drdd.training.job import Job, build_spec, settings_of
from drdd.training.learner import Worker
from drdd.training.loop import TrainerCallback, train

NICE = 15  # what Ray adds to the nice value of its workers


class Lap(NamedTuple):
    """Of LAP steps. step: seconds each of them took; between: seconds after them, until the next lap."""

    step: float
    between: float = 0.0


@dataclass(frozen=True)
class Ratio:
    """Of two medians, by round: their median, and the least and the most of them."""

    usual: float
    least: float
    most: float


def ratio(laps: Sequence[Sequence[float]], to: Sequence[Sequence[float]]) -> Ratio:
    """laps, to: of each round, in which both had turns. Raises ValueError when these are not as many."""
    every = [median(ours) / median(theirs) for ours, theirs in zip(laps, to, strict=True)]
    return Ratio(median(every), min(every), max(every))


class Turns:
    """A process that trains while it is asked for laps, and stands still otherwise."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take(self, count: int) -> list[Lap]:
        """So many laps, after one that does not count.

        The batches of its first steps were drawn while this process stood still.
        """
        return [self._lap() for _ in range(1 + count)][1:]

    def _lap(self) -> Lap:
        self._connection.send(None)
        lap: Lap = self._connection.recv()
        return lap


Runner = Callable[[Job, Connection], None]


def bare(job: Job, connection: Connection) -> None:
    """The textbook's loop."""
    laps = Bare(build_spec(job), settings_of(job)).laps()
    connection.recv()
    for step in laps:
        connection.send(Lap(step))
        connection.recv()


def looped(job: Job, connection: Connection) -> None:
    """Our loop, with a callback that only waits between laps."""
    train(build_spec(job), settings_of(job), Worker(), _Paused(connection, settings_of(job).batch))


def niced(job: Job, connection: Connection) -> None:
    """Ours, at the nice value of Ray's workers."""
    os.nice(NICE)
    looped(job, connection)


class _Paused(TrainerCallback):
    """Waits after each point until the next lap is asked for."""

    def __init__(self, connection: Connection, batch: int) -> None:
        self._connection, self._batch = connection, batch

    def begin(self, history: object) -> None:
        self._go_on()

    def report(self, progress: Progress) -> None:
        whole = time.perf_counter() - self._began
        step = self._batch / progress.point["images_per_second"]
        self._connection.send(Lap(step, max(0.0, whole - LAP * step)))
        self._go_on()

    def _go_on(self) -> None:
        self._connection.recv()
        self._began = time.perf_counter()


@contextmanager
def taking_turns(runner: Runner, job: Job) -> Iterator[Turns]:
    """In a process of its own. Raises EOFError from `take` when it ends before its time."""
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=runner, args=(job, its), daemon=True)
    process.start()
    its.close()
    try:
        yield Turns(mine)
    finally:
        process.kill()
        process.join()
