"""What each Ray Train worker runs: the loop, between its checkpoints and the channel to the driver."""

import os
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Sequence
from types import FrameType

import ray.train
import ray.train.collective
import ray.train.torch
import torch
import torch.distributed as dist
from ray.train.v2._internal.execution.context import get_train_context
from torch import nn

from drdd.cluster.channel import GRACE_S, Began, Channel, Failed, Said
from drdd.cluster.checkpoints import Checkpoints, Saver, network_digest
from drdd.cluster.speed import Speedometer
from drdd.errors import TransientError, UserError
from drdd.training.clock import Lap
from drdd.training.history import NonFiniteLossError, Point, Progress
from drdd.training.job import Job, build_spec, settings_of
from drdd.training.learner import Learner, State, Worker
from drdd.training.loop import Outside, train

POLL_S = 0.1


def work(job: Job, channel: Channel, uri: str) -> None:
    """Ray Train's train_loop_per_worker. uri: of the checkpoints."""
    world = ray.train.get_context().get_world_size()
    _Mooring.channel = channel
    try:
        _train(job, channel, uri)
    except Exception as error:
        if isinstance(error, TransientError) or _lost_peer(error, world):
            raise  # it may pass: Ray begins again
        channel.tell_and_wait(Failed(_described(error, job.stage)))


def _train(job: Job, channel: Channel, uri: str) -> None:
    settings = settings_of(job)
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    device = ray.train.torch.get_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if settings.compile and device.type == "cpu" and not _compiler():
        raise UserError(
            f"train.{job.stage}.compile: on a CPU torch.compile needs a C++ compiler, and there is none "
            "where a worker runs; install g++ there, or set it to false"
        )
    worker = Worker(device=device)
    if world > 1:
        worker = Worker(rank, world, device, _wrapped, dist.all_reduce, _gathered)
    checkpoints = Checkpoints(uri, settings.keep)
    first = _First(job.stage, checkpoints, channel) if rank == 0 else _Other(checkpoints)
    train(build_spec(job), settings, worker, first)
    first.finish()


class _Other(Outside):
    """Of every worker but the first: it goes on from where the first one does."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    def load(self, net: nn.Module) -> State | None:
        mark = ray.train.collective.broadcast_from_rank_zero(None)
        return mark and self._checkpoints.state(mark)

    def finish(self) -> None:
        """Nothing of it is left to do."""


class _First(_Other):
    """Of the first worker, which alone saves and reports."""

    def __init__(self, stage: str, checkpoints: Checkpoints, channel: Channel) -> None:
        super().__init__(checkpoints)
        self._stage, self._channel = stage, channel
        self._speed = Speedometer()
        self._saver = Saver(checkpoints, self._say)
        self._alarm = threading.Event()
        self._preempted: object = None
        self._network = ""

    def load(self, net: nn.Module) -> State | None:
        self._network = network_digest(net)
        found = self._checkpoints.newest()
        for sentence in self._checkpoints.said:
            self._say(sentence)
        if found and found[1].network != self._network:
            raise UserError(
                f"the checkpoints in {self._checkpoints.uri} are of another network than that of "
                f"train.{self._stage}; delete them to train from the start"
            )
        ray.train.collective.broadcast_from_rank_zero(found and found[1])
        return found and found[0]

    def begin(self, history: Sequence[Point]) -> None:
        self._channel.begin()
        self._channel.tell(Began(history))
        threading.Thread(target=self._listen, daemon=True).start()

    def measure(self, learner: Learner, lap: Lap) -> Point:
        return self._speed(learner, lap)

    def report(self, progress: Progress) -> None:
        self._channel.tell(progress)

    def asked(self) -> bool:
        """By the channel, or because Ray is about to lose a node; once each."""
        preempted = _preemption()
        if preempted is not None and preempted != self._preempted:
            self._preempted = preempted
            self._alarm.set()
        return self._alarm.is_set()

    def save(self, state: State, images: int, psnr: float | None) -> None:
        self._saver.submit(state, state["step"], images, self._network, psnr)
        if self._alarm.is_set():
            self.finish()
            self._channel.saved()
            self._alarm.clear()

    def finish(self) -> None:
        """Wait until the last state is saved."""
        self._saver.flush()

    def _say(self, sentence: str) -> None:
        self._channel.tell(Said(sentence))

    def _listen(self) -> None:
        while True:
            self._channel.wait_until_asked()
            self._alarm.set()
            while self._alarm.is_set():
                time.sleep(POLL_S)


class _Mooring:
    """What the signal handler of this process needs."""

    channel: Channel | None = None


def catch_sigterm() -> None:
    """From now on SIGTERM, as a node that is taken away gets it, saves a checkpoint before it ends.

    Python runs signal handlers in the main thread, where the loop is not: this must be called there.
    """
    signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, frame: FrameType | None) -> None:
    threading.Thread(target=_save_and_exit, daemon=True).start()


def _save_and_exit() -> None:
    if _Mooring.channel is not None:
        _Mooring.channel.ask(GRACE_S)
    os._exit(128 + signal.SIGTERM)


def join(rank: int, world: int, where: str) -> None:
    """The process group of all workers. where: tcp://address:port of the first."""
    backend = "nccl" if ray.train.torch.get_device().type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=where, rank=rank, world_size=world)


def leave() -> None:
    """The process group, if there is one: whoever waits in it gets an error."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _preemption() -> object:
    """What this process was told of nodes that will go.

    Ray's own question for it asks all workers, and waits for their answers.
    """
    return get_train_context().preemption_context.preemption_info


def _wrapped(net: nn.Module, one_pass: bool) -> nn.Module:
    """Gradients are averaged in buckets while the rest of them is computed.

    A static graph lets that begin earlier, but knows no steps of several passes.
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
    """Whether this is how PyTorch tells that another worker is gone, or that this one is to go:

    workers that Ray Train replaces by more, or fewer, lose their process group while they train.
    """
    if isinstance(error, torch.OutOfMemoryError):
        return False
    return world > 1 and (isinstance(error, RuntimeError) or not dist.is_initialized())


def _described(error: Exception, stage: str) -> Exception:
    """As the driver should raise it."""
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
