"""A textbook training loop on the CPU: the baseline of our loop.

It has the network, batches (drawn ahead by the same threads), loss, clipping, AdamW and EMA of a run
with a constant learning rate, and no metrics, points or checkpoints.
"""

import time
from collections.abc import Iterator

import torch
from torch import nn

from drdd.data.loader import ahead
from drdd.nets.families import training_format
from drdd.params import TrainStage
from drdd.training.optimisation import computes_in_bf16
from drdd.training.specs import Drawing, StageSpec

LAP = 10  # steps, as between two points of a short run


class BaselineLoop:
    """net, and its EMA by the names of its parameters."""

    def __init__(self, spec: StageSpec, settings: TrainStage) -> None:
        torch.set_num_threads(settings.threads)
        self._spec, self._settings = spec, settings
        cpu, net = torch.device("cpu"), spec.network()
        automatic = settings.precision == "auto" and computes_in_bf16(cpu)
        self._bf16 = settings.precision == "bf16" or automatic
        layout = training_format(net, cpu, self._bf16)
        self.net: nn.Module = net.to(memory_format=layout)  # type: ignore[call-overload]
        self.ema = {name: value.detach().clone() for name, value in net.named_parameters()}
        self._parameters, self._averages = list(self.net.parameters()), list(self.ema.values())
        first, second = settings.betas
        self._optimizer = torch.optim.AdamW(
            self._parameters,
            lr=settings.learning_rate,
            betas=(first, second),
            weight_decay=settings.weight_decay,
            fused=True,
        )

    def laps(self) -> Iterator[float]:
        """Seconds a step, after every LAP steps, until the budget is spent."""
        steps = range(self._settings.images // self._settings.batch)
        began = time.perf_counter()
        for step, drawing in zip(steps, ahead(self._draw, steps), strict=True):
            self._learn(drawing, step)
            if (step + 1) % LAP == 0:
                yield (time.perf_counter() - began) / LAP
                began = time.perf_counter()

    def _draw(self, step: int) -> Drawing:
        batch = self._settings.batch
        return self._spec.draw(range(step * batch, (step + 1) * batch))

    def _learn(self, drawing: Drawing, step: int) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
            loss = self._spec.loss(self.net, drawing.batch).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, self._settings.clip)
        self._optimizer.step()
        decay = min(self._settings.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(self._averages, self._parameters, 1 - decay)
