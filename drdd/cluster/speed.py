"""The speed of training relative to the device: FLOPs of an image, and peak FLOP/s of matrix products."""

import time

import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from drdd.training.clock import Lap
from drdd.training.history import TIMED, Point
from drdd.training.learner import Learner
from drdd.training.specs import StageSpec

COUNTED = range(4)
SIDE = {"cpu": 1024, "cuda": 8192}
GIB = 1024**3


class Speedometer:
    """Computes the timed metrics of points."""

    def __init__(self) -> None:
        self._full_rate = 0.0

    def __call__(self, learner: Learner, lap: Lap) -> Point:
        """The metrics history.TIMED on this worker's device.

        The first call takes as long as a few steps.
        """
        worker = learner.worker
        if not self._full_rate:
            self._full_rate = full_rate(learner.spec, learner, worker.device)
        speed = lap.steps * learner.settings.batch / lap.seconds
        timed = (
            speed,
            lap.waited / lap.seconds,
            speed / worker.world / self._full_rate,
            memory_gib(worker.device),
        )
        return dict(zip(TIMED, timed, strict=True))


def full_rate(spec: StageSpec, learner: Learner, device: torch.device) -> float:
    """Images a second at which a worker would reach the peak FLOP/s of its device.

    PyTorch counts the FLOPs of the loss and its gradient on the first samples. The peak is that of the
    fastest of a few square matrix products in the precision of training.
    """
    drawing = spec.draw(COUNTED)
    eager = torch.compiler.set_stance("force_eager")  # compiled code hides its operators
    with eager, FlopCounterMode(display=False) as counter:
        with learner.autocast():
            loss = spec.losses(learner.net, drawing, device).of.sum()
        torch.autograd.grad(loss, list(learner.net.parameters()), allow_unused=True)
    flops = max(1, counter.get_total_flops()) / len(COUNTED)
    return peak_flops(device, torch.bfloat16 if learner.bf16 else torch.float32) / flops


def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of the fastest of four square matrix products, 2 n^3 each."""
    side = SIDE.get(device.type, 1024)
    a = torch.ones(side, side, device=device, dtype=dtype)
    seconds = []
    for _ in range(4):
        _finish(device)
        began = time.perf_counter()
        a @ a
        _finish(device)
        seconds.append(time.perf_counter() - began)
    return float(2 * side**3 / min(seconds))


def memory_gib(device: torch.device) -> float:
    """On a GPU the peak memory of tensors so far, else the resident memory of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    return int(psutil.Process().memory_info().rss) / GIB


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
