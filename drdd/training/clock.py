"""The time of a run: its laps, the time that steps waited for data, and the used share of the budget."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from drdd.training.learner import Worker


class Lap(NamedTuple):
    """steps: number of steps; seconds: their duration; waited: seconds of it spent waiting for data."""

    steps: int
    seconds: float
    waited: float


class Clock:
    """Measures laps from `start` to `lap`; work between laps, such as a validation, is not counted.

    spent: used share of the budget as of the last lap, the same on every worker; 0 without a budget.
    waited: seconds waited for data, in this process.
    """

    def __init__(self, minutes: float | None, worker: Worker) -> None:
        self._minutes, self._worker = minutes, worker
        self._began, self._before = time.monotonic(), 0.0
        self.spent, self.waited = 0.0, 0.0
        self.start()

    @property
    def seconds(self) -> float:
        """Seconds since this process began the run."""
        return time.monotonic() - self._began

    def state(self) -> dict[str, float]:
        return {"seconds": self._before + self.seconds, "spent": self.spent}

    def load(self, state: dict[str, float]) -> None:
        self._before, self.spent = state["seconds"], state["spent"]

    def start(self) -> None:
        self._steps, self._lap_began, self._waited_before = 0, time.monotonic(), self.waited

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Enclose the code in which each step waits for data."""
        began = time.monotonic()
        yield
        self.waited += time.monotonic() - began
        self._steps += 1

    def lap(self) -> Lap:
        if self._minutes is not None:
            mine = self._before + self.seconds if self._worker.rank == 0 else 0.0
            seconds = torch.tensor(mine, dtype=torch.float64, device=self._worker.device)
            self._worker.total(seconds)
            self.spent = float(seconds) / 60 / self._minutes
        now = time.monotonic()
        return Lap(self._steps, now - self._lap_began, self.waited - self._waited_before)
