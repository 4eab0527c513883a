"""The trained state on one worker's device: the network, its EMA and its optimiser."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from drdd.nets.families import training_format
from drdd.params import TrainStage
from drdd.training.optimisation import computes_in_bf16, descend, make_optimizer, update_ema
from drdd.training.specs import Drawing, StageSpec

TrainState = dict[str, Any]
"""What torch.save writes and torch.load(weights_only=True) reads: nested dicts, lists, tensors, scalars."""

CPU = torch.device("cpu")
# DDP rearranges its buckets after its first passes, which changes the order in which it adds the gradients
# of workers. These extra passes make a resumed run add in the same order as an uninterrupted one.
REHEARSALS = 2


@dataclass(frozen=True)
class Worker:
    """One of `world` training workers and its collective operations; the default is a single worker.

    wrap: (network, whether a step is one pass) -> a network that averages gradients over all workers;
    total: sums a tensor over the workers, in place; gather: concatenates the lists of all workers.
    """

    rank: int = 0
    world: int = 1
    device: torch.device = CPU
    wrap: Callable[[nn.Module, bool], nn.Module] = lambda net, one_pass: net
    total: Callable[[Tensor], None] = lambda value: None
    gather: Callable[[list[int]], list[int]] = lambda values: values

    def share(self, step: int, batch: int) -> range:
        """The sample numbers of this worker in a step. Shares differ by at most one, and none is empty."""
        first = step * batch
        return range(
            first + batch * self.rank // self.world, first + batch * (self.rank + 1) // self.world
        )


@dataclass(frozen=True)
class StepResult:
    """The result of one optimiser step.

    of: losses of this worker's samples, (B,); sums: (2, 1 + G), sums and counts of the losses of all
    workers, in total and by group; norm: of the gradient, before clipping.
    """

    of: Tensor
    sums: Tensor
    norm: Tensor


class Learner:
    """Trains a network step by step. `state` holds all that later steps depend on."""

    def __init__(self, spec: StageSpec, settings: TrainStage, worker: Worker) -> None:
        self.spec, self.settings, self.worker = spec, settings, worker
        device = worker.device
        self.bf16 = settings.precision == "bf16" or (
            settings.precision == "auto" and computes_in_bf16(device)
        )
        net = spec.network()
        layout = training_format(net, device, self.bf16)
        self.net = net.to(device, memory_format=layout)  # type: ignore[call-overload]
        self.ema = {name: value.clone() for name, value in self.net.state_dict().items()}
        self._optimizer = make_optimizer(self.net, settings)

    def state(self) -> TrainState:
        return {
            "net": self.net.state_dict(),
            "ema": self.ema,
            "optimizer": self._optimizer.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        for name, value in self.ema.items():
            value.copy_(state["ema"][name])
        self._optimizer.load_state_dict(state["optimizer"])

    def join(self) -> None:
        """Connect with the other workers. Call once, after `load` and before `learn`."""
        settings, world = self.settings, self.worker.world
        most = -(-settings.batch // world)
        if settings.compile:
            self.net.compile()
        one_pass = settings.micro_batch is None or settings.micro_batch >= most
        self._parallel = self.worker.wrap(self.net, one_pass)
        if world > 1:
            rehearsed = self.spec.draw([0])
            for _ in range(REHEARSALS):
                self._gradients(rehearsed)

    def learn(self, drawing: Drawing, step: int, learning_rate: float) -> StepResult:
        """Do one optimiser step, without waiting for the device."""
        settings = self.settings
        self._optimizer.zero_grad(set_to_none=True)
        of, sums = self._gradients(drawing)
        self.worker.total(sums)
        parameters = self.net.parameters()
        norm = descend(self._optimizer, parameters, learning_rate, settings.clip, sums[0, 0])
        update_ema(self.ema, self.net, settings.ema, step)
        return StepResult(of, sums, norm)

    def _gradients(self, drawing: Drawing) -> tuple[Tensor, Tensor]:
        """Compute gradients of the mean loss over the samples of all workers.

        Returns the losses, (B,), and their sums and counts, (2, 1 + G), of this worker.
        """
        worker, every, sums = self.worker, [], []
        parts = drawing.parts(self.settings.micro_batch)
        for i, part in enumerate(parts, start=1):
            alone = i < len(parts) and worker.world > 1
            with self._parallel.no_sync() if alone else nullcontext():  # type: ignore[operator]
                with self.autocast():
                    losses = self.spec.losses(self._parallel, part, worker.device)
                (losses.of.sum() * (worker.world / self.settings.batch)).backward()
            of = losses.of.detach().float()
            mask = torch.cat([torch.ones_like(of)[:, None], losses.group_mask], dim=1)
            every.append(of)
            sums.append(torch.stack([of @ mask, mask.sum(dim=0)]))
        return torch.cat(every), torch.stack(sums).sum(dim=0)

    def autocast(self) -> torch.autocast:
        device = self.worker.device.type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=self.bf16)

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """The network, with the EMA weights inside the block."""
        live = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.net.load_state_dict(self.ema)
        try:
            yield self.net
        finally:
            self.net.load_state_dict(live)
