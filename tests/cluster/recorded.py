"""A callback of the training loop that records every call."""

import copy
from collections.abc import Sequence

from torch import nn

from drdd.cluster.speed import Speedometer
from drdd.training.clock import Lap
from drdd.training.history import Point, Progress
from drdd.training.learner import Learner, TrainState
from drdd.training.loop import TrainerCallback


class Recorded(TrainerCallback):
    """Records the calls. start: the state to resume from; ask_after: images after which to save."""

    def __init__(self, start: TrainState | None = None, ask_after: int = -1) -> None:
        self.start, self._ask_after, self._images = start, ask_after, 0
        self._speed = Speedometer()
        self.states: list[tuple[TrainState, int, float | None]] = []
        self.seen: list[Progress] = []
        self.began: list[Sequence[Point]] = []

    def load(self, net: nn.Module) -> TrainState | None:
        return copy.deepcopy(self.start)

    def begin(self, history: Sequence[Point]) -> None:
        self.began.append(list(history))

    def measure(self, learner: Learner, lap: Lap) -> Point:
        return self._speed(learner, lap)

    def report(self, progress: Progress) -> None:
        self.seen.append(progress)

    def asked(self) -> bool:
        self._images += 4
        return self._images == self._ask_after

    def save(self, state: TrainState, images: int, psnr: float | None) -> None:
        self.states.append((copy.deepcopy(state), images, psnr))
