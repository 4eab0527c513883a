"""The function of Ray Train workers: the training loop, checkpoints, and messages to the driver."""

import os
import shutil
import threading
import time
import traceback
from collections.abc import Sequence

import ray
import ray.train
import ray.train.collective
import ray.train.torch
import torch
import torch.distributed as dist
from torch import nn

from drdd.cluster.checkpoints import Checkpoints, Saver, network_digest
from drdd.cluster.control import Began, Control, Failed, LogMessage
from drdd.cluster.speed import Speedometer
from drdd.errors import TransientError, UserError
from drdd.training.clock import Lap
from drdd.training.history import NonFiniteLossError, Point, Progress
from drdd.training.job import Job, build_spec, settings_of
from drdd.training.learner import Learner, TrainState, Worker
from drdd.training.loop import TrainerCallback, train

POLL_S = 0.1
PREEMPTION_STEPS = 10  # interval at which to ask for an announced loss of a node


def train_worker(job: Job, control: Control, uri: str) -> None:
    """Ray Train's train_loop_per_worker. uri: of the checkpoints."""
    world = ray.train.get_context().get_world_size()
    try:
        _train(job, control, uri)
    except Exception as error:
        if isinstance(error, TransientError) or _lost_peer(error, world):
            raise  # a restart may help: Ray restarts the workers
        ray.get(control.send(Failed(_described(error, job.stage))))


def _train(job: Job, control: Control, uri: str) -> None:
    settings = settings_of(job)
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    device = ray.train.torch.get_device()
    if settings.compile and device.type == "cpu" and not _compiler():
        raise UserError(
            f"train.{job.stage}.compile: on a CPU torch.compile needs a C++ compiler, and there is none "
            "where a worker runs; install g++ there, or set it to false"
        )
    worker = Worker(device=device)
    if world > 1:
        worker = Worker(rank, world, device, _wrapped, dist.all_reduce, _gathered)
    checkpoints = Checkpoints(uri, settings.keep)
    callback = _RankZero(job.stage, checkpoints, control) if rank == 0 else _OtherRank(checkpoints)
    train(build_spec(job), settings, worker, callback)
    callback.finish()


class _OtherRank(TrainerCallback):
    """The callback of all workers but the first. It resumes from the checkpoint of worker 0."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self._steps = 0
        self._preemption: object = None

    def load(self, net: nn.Module) -> TrainState | None:
        mark = ray.train.collective.broadcast_from_rank_zero(None)
        return mark and self._checkpoints.state(mark)

    def asked(self) -> bool:
        self._preempted()
        return False

    def finish(self) -> None:
        """Wait for pending saves; here there are none."""

    def _preempted(self) -> bool:
        """Whether Ray has announced a new loss of nodes. All workers must ask at the same steps."""
        before, self._steps = self._preemption, self._steps + 1
        if self._steps % PREEMPTION_STEPS == 0:
            self._preemption = ray.train.get_preemption_info()
        return self._preemption is not None and self._preemption != before


class _RankZero(_OtherRank):
    """The callback of worker 0, which alone saves and reports."""

    def __init__(self, stage: str, checkpoints: Checkpoints, control: Control) -> None:
        super().__init__(checkpoints)
        self._stage, self._control = stage, control
        self._speed = Speedometer()
        self._saver = Saver(checkpoints, self._say)
        self._save_now = threading.Event()
        self._network = ""

    def load(self, net: nn.Module) -> TrainState | None:
        self._network = network_digest(net)
        found = self._checkpoints.newest()
        for sentence in self._checkpoints.warnings:
            self._say(sentence)
        if found and found[1].network != self._network:
            raise UserError(
                f"the checkpoints in {self._checkpoints.uri} are of another network than that of "
                f"train.{self._stage}; delete them to train from the start"
            )
        ray.train.collective.broadcast_from_rank_zero(found and found[1])
        return found and found[0]

    def begin(self, history: Sequence[Point]) -> None:
        self._control.begin()
        self._control.send(Began(history))
        threading.Thread(target=self._wait_for_requests, daemon=True).start()

    def measure(self, learner: Learner, lap: Lap) -> Point:
        return self._speed(learner, lap)

    def report(self, progress: Progress) -> None:
        self._control.send(progress)

    def asked(self) -> bool:
        """Whether the driver or a terminating worker asked to save, or Ray announced a lost node."""
        if self._preempted():
            self._save_now.set()
        return self._save_now.is_set()

    def save(self, state: TrainState, images: int, psnr: float | None) -> None:
        self._saver.submit(state, state["step"], images, self._network, psnr)
        if self._save_now.is_set():
            self.finish()
            self._control.confirm_save()
            self._save_now.clear()

    def finish(self) -> None:
        """Wait until the last state is saved."""
        self._saver.flush()

    def _say(self, sentence: str) -> None:
        self._control.send(LogMessage(sentence))

    def _wait_for_requests(self) -> None:
        while True:
            self._control.wait_for_request()
            self._save_now.set()
            while self._save_now.is_set():
                time.sleep(POLL_S)


def _wrapped(net: nn.Module, one_pass: bool) -> nn.Module:
    """Wrap the network in DDP, which averages gradients in buckets during the backward pass.

    A static graph starts that earlier, but does not support steps of several passes.
    """
    kind = {"static_graph": one_pass, "gradient_as_bucket_view": True, "broadcast_buffers": False}
    wrapped: nn.Module = ray.train.torch.prepare_model(net, parallel_strategy_kwargs=kind)
    return wrapped


def _gathered(values: list[int]) -> list[int]:
    every: list[list[int]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(every, values)
    return [value for part in every for value in part]


def _compiler() -> str | None:
    return next(filter(None, map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))), None)


def _lost_peer(error: Exception, world: int) -> bool:
    """Whether PyTorch failed because another worker is lost, or because Ray Train replaces the workers:

    they lose their process group while they train.
    """
    if isinstance(error, torch.OutOfMemoryError):
        return False
    return world > 1 and (isinstance(error, RuntimeError) or not dist.is_initialized())


def _described(error: Exception, stage: str) -> Exception:
    """The error that the driver should raise for `error`."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, NonFiniteLossError):
        return UserError(str(error))
    if isinstance(error, torch.OutOfMemoryError):
        return UserError(
            f"train.{stage}: a step does not fit the GPU's memory; set micro_batch, or lower batch or crop "
            f"({error})"
        )
    return RuntimeError("".join(traceback.format_exception(error)))
