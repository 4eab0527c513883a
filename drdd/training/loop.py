"""The training loop. It knows neither Ray nor files: a `TrainerCallback` loads, saves and reports."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from drdd.data.loader import ahead
from drdd.params import TrainStage
from drdd.training.accumulator import MetricAccumulator
from drdd.training.clock import Clock, Lap
from drdd.training.history import MetricHistory, Point, Progress, reproducible
from drdd.training.learner import Learner, TrainState, Worker
from drdd.training.optimisation import learning_rate_factor
from drdd.training.specs import Drawing, StageSpec


class TrainerCallback:
    """What the loop calls to load, save and report. This base class does nothing."""

    def load(self, net: nn.Module) -> TrainState | None:
        """The saved state to resume from, or None. It must belong to this network."""
        return None

    def begin(self, history: Sequence[Point]) -> None:
        """Called once before the first step, with the points of the run so far."""

    def measure(self, learner: Learner, lap: Lap) -> Point:
        """Speed of the steps of a lap, with the keys history.TIMED. Called on worker 0 only."""
        return {}

    def report(self, progress: Progress) -> None:
        """Called after each new point."""

    def asked(self) -> bool:
        """Whether to save after this step, in addition to the planned checkpoints."""
        return False

    def save(self, state: TrainState, images: int, psnr: float | None) -> None:
        """Save `state`, which later steps change in place. psnr: of a validation at `images`, or None."""


@dataclass(frozen=True)
class Trained:
    """The result of a training run.

    weights: of the EMA; curve: the reproducible metrics of each point; seconds: spent in this process;
    waited: seconds of these in which steps waited for data.
    """

    weights: dict[str, Tensor]
    curve: list[Point]
    seconds: float = 0.0
    waited: float = 0.0


@dataclass(frozen=True)
class Plan:
    """A run in steps: their total, and the intervals of points, checkpoints and validations (0: none)."""

    steps: int
    point: int
    checkpoint: int
    validation: int

    @classmethod
    def of(cls, settings: TrainStage) -> "Plan":
        """Plan about a thousand points for a long run. Validations coincide with points."""
        steps = math.ceil(settings.images / settings.batch)
        point = max(10, steps // 1000)
        checkpoint = max(1, round(settings.checkpoint_every / settings.batch))
        every = (settings.validate_every or 0) / settings.batch
        return cls(steps, point, checkpoint, point * max(1, round(every / point)) if every else 0)


def train(
    spec: StageSpec, settings: TrainStage, worker: Worker, callback: TrainerCallback | None = None
) -> Trained:
    """Train `spec` for its budget, resuming from the last saved state if there is one.

    Raises NonFiniteLossError when more steps were skipped than `settings.max_skipped` allows.
    """
    torch.set_num_threads(settings.threads)
    callback = callback or TrainerCallback()
    plan, batch = Plan.of(settings), settings.batch
    learner = Learner(spec, settings, worker)
    window, clock = MetricAccumulator(spec.groups, worker.device), Clock(settings.minutes, worker)
    points = MetricHistory(spec, settings, worker, learner)
    parts: dict[str, Any] = {
        "learner": learner,
        "window": window,
        "clock": clock,
        "points": points,
    }
    first = 0
    if state := callback.load(learner.net):
        first = state["step"]
        for name, part in parts.items():
            part.load(state[name])
    learner.join()
    callback.begin(points.history)

    steps = range(first, plan.steps)
    drawings = ahead(partial(_draw, spec, worker, batch), steps)
    clock.start()
    for step in steps:
        with clock.waiting():
            drawing = next(drawings)
        at = max(step, clock.spent * plan.steps)
        factor = learning_rate_factor(settings.schedule, at, plan.steps, settings.warmup)
        rate = settings.learning_rate * factor
        window.add(step, worker.share(step, batch), learner.learn(drawing, step, rate))

        done, images, best, psnr = step + 1, (step + 1) * batch, points.best, None
        over = done == plan.steps
        if over or done % plan.point == 0:
            closed, lap = window.close(), clock.lap()
            over = over or clock.spent >= 1
            validates = plan.validation and (over or done % plan.validation == 0)
            timed = callback.measure(learner, lap) if worker.rank == 0 else {}
            shown = points.make(images, rate, closed, timed, bool(validates))
            point = points.history[-1]
            share = 1.0 if over else max(done / plan.steps, clock.spent)
            callback.report(Progress(images, round(images / share), point, shown))
            points.refuse(closed)
            psnr = point.get("psnr")
            clock.start()
        better = psnr is not None and psnr > best
        if callback.asked() or over or better or done % plan.checkpoint == 0:
            state = {"step": done} | {name: part.state() for name, part in parts.items()}
            callback.save(state, images, psnr)
        if over:
            break
    curve = [reproducible(point) for point in points.history]
    return Trained(learner.ema, curve, clock.seconds, clock.waited)


def _draw(spec: StageSpec, worker: Worker, batch: int, step: int) -> Drawing:
    drawing = spec.draw(worker.share(step, batch))
    return drawing.pinned() if worker.device.type == "cuda" else drawing
