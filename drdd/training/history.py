"""The points of the training curve, and the decision to stop after too many skipped steps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from drdd.params import TrainStage
from drdd.training.accumulator import IntervalStats
from drdd.training.learner import Learner, Worker
from drdd.training.specs import StageSpec
from drdd.training.validation import ShownRow

Point = Mapping[str, float]
TIMED = ("images_per_second", "waiting", "utilisation", "memory_gib")


class NonFiniteLossError(Exception):
    """Too many steps had to be skipped; the message names steps and samples."""


@dataclass(frozen=True)
class Progress:
    """images: seen so far, of `total`; point: the metrics of the steps since the previous point.

    Keys of a point: images; loss; loss/<group>, for the groups that had samples; grad_norm, before
    clipping; learning_rate; skipped, the skipped steps of the whole run; psnr and psnr/<group> in dB, if
    this point has a validation; and TIMED: waiting is the share of time in which steps waited for data,
    utilisation the share of the peak FLOPs of the workers' devices.
    shown: held-out pictures, if this point has a validation.
    """

    images: int
    total: int
    point: Point = field(default_factory=dict)
    shown: Sequence[ShownRow] = ()


def reproducible(point: Point) -> Point:
    """The metrics of a point that are the same in every run, so all but TIMED."""
    return {key: value for key, value in point.items() if key not in TIMED}


class MetricHistory:
    """Makes the points of a run in order. Only worker 0 validates."""

    def __init__(
        self, spec: StageSpec, settings: TrainStage, worker: Worker, learner: Learner
    ) -> None:
        self._spec, self._settings, self._worker = spec, settings, worker
        self._learner = learner
        self.history: list[Point] = []

    def state(self) -> list[Point]:
        return list(self.history)

    def load(self, state: Sequence[Point]) -> None:
        self.history = list(state)

    @property
    def best(self) -> float:
        """The highest PSNR so far, -inf without one."""
        known = [
            point["psnr"] for point in self.history if math.isfinite(point.get("psnr", math.nan))
        ]
        return max(known, default=-math.inf)

    @property
    def skipped(self) -> int:
        return int(self.history[-1]["skipped"]) if self.history else 0

    def make(
        self, images: int, rate: float, closed: IntervalStats, timed: Point, validates: bool
    ) -> Sequence[ShownRow]:
        """Append the point at `images` to the history; return the pictures of its validation, if any.

        rate: learning rate of the last step; timed: the metrics TIMED, or {} when nothing was measured.
        """
        point = {"images": images, **closed.means, "learning_rate": rate}
        point["skipped"] = self.skipped + len(closed.bad)
        shown: Sequence[ShownRow] = ()
        if self._worker.rank == 0 and validates and self._spec.validate is not None:
            with self._learner.averaged() as net:
                validated = self._spec.validate(net, self._worker.device)
            point["psnr"] = sum(validated.psnr.values()) / len(validated.psnr)
            point |= {f"psnr/{group}": psnr for group, psnr in validated.psnr.items()}
            shown = validated.rows
        self.history.append({**point, **timed})
        return shown

    def refuse(self, closed: IntervalStats) -> None:
        """Raises NonFiniteLossError when the last point exceeded the allowed number of skipped steps."""
        if not closed.bad or self.skipped <= self._settings.max_skipped:
            return
        name = self._spec.name
        step, mine = max(closed.bad.items())
        samples = sorted(self._worker.gather(list(mine)))
        listed = ", ".join(map(str, samples[:8])) + (", ..." if len(samples) > 8 else "")
        where = f"where the loss of sample {listed} was not" if samples else "in the gradient alone"
        raise NonFiniteLossError(
            f"the loss or its gradient was not finite at {self.skipped} step(s) of the {name} stage, "
            f"more than train.{name}.max_skipped = {self._settings.max_skipped}; last at step {step}, "
            f"{where}. These steps changed nothing. Lower train.{name}.learning_rate, or set "
            f"train.{name}.precision to float32"
        )
