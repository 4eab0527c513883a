"""The one training loop. It knows neither Ray nor files: a `Worker` saves, loads and reports."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from drdd.data.loader import ahead
from drdd.nets.families import training_format
from drdd.params import TrainStage
from drdd.training.specs import Losses, StageSpec

LOG_EVERY = 10  # steps a point of the loss curve; checkpoints fall on these points

State = dict[str, Any]


class NonFiniteLossError(Exception):
    """The loss became NaN or infinite; the message names the step and the samples."""


@dataclass(frozen=True)
class Progress:
    """images of `total` seen so far; losses: means over the last LOG_EVERY steps and all workers.

    groups: the mean loss of each of the spec's groups of which samples came.
    """

    images: int
    total: int
    loss: float
    groups: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Worker:
    """How one of `world` workers meets the outside; the defaults are a worker all by itself."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    wrap: Callable[[nn.Module], nn.Module] = lambda net: net
    mean: Callable[[Tensor], Tensor] = lambda value: value
    load: Callable[[], State | None] = lambda: None
    save: Callable[[State, Progress], None] = lambda state, progress: None
    report: Callable[[Progress], None] = lambda progress: None


@dataclass(frozen=True)
class Trained:
    """weights: the EMA's; curve: {"images", "loss", and the spec's groups} points; seconds: of this
    process alone; waited: those of them in which the step had to wait for its data."""

    weights: dict[str, Tensor]
    curve: list[dict[str, float]]
    seconds: float
    waited: float = 0.0


def train(spec: StageSpec, settings: TrainStage, worker: Worker) -> Trained:
    """Train `spec` for its budget, resuming from the worker's last state if there is one.

    Raises NonFiniteLossError.
    """
    torch.set_num_threads(settings.threads)
    steps = math.ceil(settings.images / settings.batch)
    bf16 = settings.precision == "bf16" or (
        settings.precision == "auto" and computes_in_bf16(worker.device)
    )
    net = spec.network()
    layout = training_format(net, worker.device, bf16)
    net = net.to(worker.device, memory_format=layout)  # type: ignore[call-overload]
    ema = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = torch.optim.AdamW(
        net.parameters(),
        lr=settings.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=settings.weight_decay,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, steps, settings.warmup)
    )
    curve: list[dict[str, float]] = []
    first = 0
    if state := worker.load():
        net.load_state_dict(state["net"])
        ema = {name: value.to(worker.device) for name, value in state["ema"].items()}
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        curve, first = list(state["curve"]), state["step"]

    parallel = worker.wrap(net)
    share = settings.batch // worker.world
    checkpoint_steps = _round_up(settings.checkpoint_every / settings.batch, LOG_EVERY)
    window = _Window(spec.groups, worker)

    def mine(step: int) -> range:
        first_of_step = step * settings.batch + worker.rank * share
        return range(first_of_step, first_of_step + share)

    drawings = ahead(lambda step: spec.draw(mine(step)), range(first, steps))
    begin, waited = time.monotonic(), 0.0
    for step in range(first, steps):
        asked = time.monotonic()
        drawing = next(drawings)
        waited += time.monotonic() - asked
        with torch.autocast(worker.device.type, dtype=torch.bfloat16, enabled=bf16):
            losses = spec.losses(parallel, drawing, worker.device)
            loss = losses.of.mean()
        if not torch.isfinite(loss):
            raise NonFiniteLossError(
                f"the loss of the {spec.name} stage is {float(loss.detach())} at step {step}, samples "
                f"{mine(step).start} to {mine(step).stop - 1}; lower train.{spec.name}.learning_rate "
                f"or set train.{spec.name}.precision to float32"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), settings.clip)
        optimizer.step()
        schedule.step()
        update_ema(ema, net, settings.ema, step)

        window.add(losses)
        done = step + 1
        if done % LOG_EVERY == 0 or done == steps:
            progress = window.close(done * settings.batch, steps * settings.batch)
            curve.append({"images": progress.images, "loss": progress.loss, **progress.groups})
            worker.report(progress)
            if done % checkpoint_steps == 0 or done == steps:
                worker.save(
                    {
                        "step": done,
                        "net": net.state_dict(),
                        "ema": ema,
                        "optimizer": optimizer.state_dict(),
                        "schedule": schedule.state_dict(),
                        "curve": curve,
                    },
                    progress,
                )
    return Trained(ema, curve, time.monotonic() - begin, waited)


class _Window:
    """The losses since the last point of the curve, summed on the device: no step waits for it."""

    def __init__(self, groups: Sequence[str], worker: Worker) -> None:
        self._groups, self._worker = groups, worker
        self._sums = torch.zeros(2, 1 + len(groups), device=worker.device)

    def add(self, losses: Losses) -> None:
        of = losses.of.detach()
        members = torch.cat([torch.ones_like(of)[:, None], losses.members], dim=1)
        self._sums += torch.stack([of @ members, members.sum(dim=0)])

    def close(self, images: int, total: int) -> Progress:
        """The means over all workers, after which a new window begins."""
        sums, counts = self._worker.mean(self._sums).tolist()
        self._sums = torch.zeros_like(self._sums)
        means = {
            name: loss / count
            for name, loss, count in zip(("", *self._groups), sums, counts, strict=True)
            if count
        }
        return Progress(images, total, means.pop(""), means)


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """Linear warm-up over `warmup` of the steps, then a half cosine down to zero."""
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


@torch.no_grad()
def update_ema(ema: dict[str, Tensor], net: nn.Module, decay: float, step: int) -> None:
    """ema <- d * ema + (1 - d) * net, with d rising from 0.1 so that a short run is not its start."""
    decay = min(decay, (1 + step) / (10 + step))
    live = net.state_dict()
    torch._foreach_lerp_(list(ema.values()), [live[name] for name in ema], 1 - decay)


def computes_in_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for bf16: elsewhere it is slower than float32."""
    features = torch.cpu.get_capabilities()
    return device.type == "cuda" or bool(features.get("avx512_bf16") or features.get("amx_bf16"))


def _round_up(value: float, multiple: int) -> int:
    return max(multiple, math.ceil(value / multiple) * multiple)
