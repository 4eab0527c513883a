"""The points of the curve: what is known of training every few steps, and when it is too bad to go on."""

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
    """images of `total` seen so far; point: the numbers of the steps that ended there.

    Its keys: images; loss; loss/<group>, of the groups of which samples came; grad_norm, before clipping;
    learning_rate; skipped steps, in the whole run; psnr and psnr/<group> in dB, where a validation
    fell on this point; and TIMED: waiting is the share of the time in which steps waited for data,
    utilisation that of the FLOPs which the workers' devices could do.
    shown: held-out pictures, where a validation fell on this point.
    """

    images: int
    total: int
    point: Point = field(default_factory=dict)
    shown: Sequence[ShownRow] = ()


def reproducible(point: Point) -> Point:
    """Those of a point's numbers that are the same in every run."""
    return {key: value for key, value in point.items() if key not in TIMED}


class MetricHistory:
    """Makes points, one after another; only worker 0 validates."""

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
        """The highest PSNR so far."""
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
        """Adds the point of these images to the history; the pictures of its validation, if any.

        rate: the learning rate of the last step; timed: as TIMED, {} where nobody measures.
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
        """Raises NonFiniteLossError when the last point had a skipped step too many."""
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
