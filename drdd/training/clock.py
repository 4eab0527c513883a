"""The time of a run: its laps, what steps waited for data in them, and how much of a budget is spent."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from drdd.training.learner import Worker


class Lap(NamedTuple):
    """steps, the seconds they took, and those of them that were spent waiting for data."""

    steps: int
    seconds: float
    waited: float


class Clock:
    """Laps run from `start` to `lap`; what happens between them, such as a validation, is in none.

    spent: of a budget in minutes, as of the last lap, and the same on every worker; 0 without a budget.
    waited: seconds, in this process.
    """

    def __init__(self, minutes: float | None, worker: Worker) -> None:
        self._minutes, self._worker = minutes, worker
        self._began, self._before = time.monotonic(), 0.0
        self.spent, self.waited = 0.0, 0.0
        self.start()

    @property
    def seconds(self) -> float:
        """In this process."""
        return time.monotonic() - self._began

    def state(self) -> dict[str, float]:
        return {"seconds": self._before + self.seconds, "spent": self.spent}

    def load(self, state: dict[str, float]) -> None:
        self._before, self.spent = state["seconds"], state["spent"]

    def start(self) -> None:
        self._steps, self._lap_began, self._waited_before = 0, time.monotonic(), self.waited

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around what each step waits for."""
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
