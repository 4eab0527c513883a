"""Run the loop in Ray Train: resources, checkpoints, recovery, what is told meanwhile."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

from drdd.cluster.channel import GRACE_S, Began, Channel, Failed, Said
from drdd.cluster.checkpoints import Checkpoints
from drdd.cluster.session import ray_cluster
from drdd.errors import TransientError, UserError
from drdd.params import TrainStage
from drdd.storage.versions import push, shared_folder
from drdd.training.history import Point, Progress, reproducible
from drdd.training.job import Job, settings_of
from drdd.training.loop import Trained

if TYPE_CHECKING:
    from drdd.cluster.shares import Wish

POLL_S = 0.5
GROW_S = 30.0  # after which a run of too few workers looks for more
VARIABLE = "DRDD_CHECKPOINTS"


class Watcher(Protocol):
    """Whom training is shown to, while it runs."""

    def begin(self, history: Sequence[Point]) -> None:
        """Training begins, or goes on, after these points; what was shown after them was not saved."""

    def report(self, progress: Progress) -> None: ...

    def say(self, sentence: str) -> None: ...


@contextmanager
def fitted(job: Job, name: str, folder: Path, watcher: Watcher) -> Iterator[Trained]:
    """Train on a Ray cluster; a run of the same `name` that was interrupted goes on.

    folder: where checkpoints live until the block, which makes the results safe, ends without an error;
    DRDD_CHECKPOINTS, a folder or an s3:// prefix, has precedence, and those of a cluster of several nodes
    live in DVC's remote, from which its workers read the shards.
    Raises UserError when the cluster cannot hold the workers, a picture or the store is no good, or too
    many losses are not finite; TransientError when workers were lost too often or a store does not answer.
    """
    settings = settings_of(job)
    with ray_cluster(settings.workers * settings.threads):
        _refuse_without_room(job.stage, settings)
        checkpoints = Checkpoints(f"{_store_of(job, folder)}/{name}", settings.keep)
        checkpoints.probe()
        _run(job, checkpoints.uri, settings, watcher)
        found = checkpoints.newest()
    if found is None:
        raise TransientError(
            f"{checkpoints.uri}: the last checkpoint cannot be read ({' '.join(checkpoints.said)})"
        )
    state, _ = found
    yield Trained(state["learner"]["ema"], [reproducible(point) for point in state["points"]])
    checkpoints.discard()


def _store_of(job: Job, folder: Path) -> str:
    """What the nodes of a cluster have in common is DVC's remote; the shards are there afterwards."""
    import ray

    given = os.environ.get(VARIABLE)
    nodes = sum(node["Alive"] for node in ray.nodes())
    if nodes > 1:
        push(job.shards)
    if given:
        return given.rstrip("/") if "://" in given else str(Path(given).absolute())
    return shared_folder("checkpoints") if nodes > 1 else str(folder.absolute())


def _trainer(job: Job, uri: str, channel: Channel, wish: "Wish", scratch: str) -> Any:
    """scratch: a folder for what Ray Train keeps of a run, which is nothing that we need."""
    from ray.train import FailureConfig, RunConfig

    from drdd.cluster.shares import Scaling
    from drdd.cluster.steering import Steering
    from drdd.cluster.trainer import Torch, Trainer
    from drdd.cluster.worker import work

    logging.getLogger("ray.train").setLevel(logging.ERROR)
    settings = settings_of(job)
    resources = {"CPU": float(settings.threads)}
    if settings.gpus:
        resources["GPU"] = settings.gpus
    run: Any = RunConfig  # the type that Ray tells a type checker is its older one
    workers: Any = settings.workers
    if settings.min_workers is not None:
        workers = (settings.min_workers, settings.workers)
    return Trainer(
        # Bound, and no configuration: that the controller would unpickle, with all that it imports.
        partial(work, job, channel, uri),
        backend_config=Torch(),
        scaling_config=Scaling(
            wish=wish,
            num_workers=workers,
            use_gpu=settings.gpus > 0,
            resources_per_worker=resources,
            elastic_resize_monitor_interval_s=GROW_S,
        ),
        run_config=run(
            name=job.stage,
            storage_path=scratch,
            failure_config=FailureConfig(max_failures=settings.restarts),
            callbacks=[Steering(channel)],
        ),
    )


def _run(job: Job, uri: str, settings: TrainStage, watcher: Watcher) -> None:
    """Trainer.fit, and what is heard meanwhile.

    fit runs in a thread of its own, because in the main one it takes over Ctrl-C and ends the
    process as if training had succeeded.
    """
    from ray.train import TrainingFailedError

    from drdd.cluster.shares import Wish

    wish = Wish.of(settings)
    channel = Channel.open(wish.name)
    with TemporaryDirectory(prefix="drdd-") as scratch:
        running = _in_thread(_trainer(job, uri, channel, wish, scratch).fit)
        try:
            done = False
            while not done:
                done = bool(wait([running], timeout=POLL_S).done)
                for message in channel.heard():
                    _hear(message, watcher)
            running.result()
        except TrainingFailedError as error:
            raise _diagnosis(error, job.stage, settings) from error
        except KeyboardInterrupt:
            channel.ask(GRACE_S)
            raise
        finally:
            channel.end()
            wait([running], timeout=GRACE_S)


def _hear(message: Began | Progress | Said | Failed, watcher: Watcher) -> None:
    if isinstance(message, Failed):
        raise message.error
    if isinstance(message, Began):
        watcher.begin(message.history)
    elif isinstance(message, Said):
        watcher.say(message.sentence)
    else:
        watcher.report(message)


def _in_thread(function: Callable[[], Any]) -> Future[Any]:
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _diagnosis(error: Exception, stage: str, settings: TrainStage) -> Exception:
    """What may pass, as itself; else that workers were lost too often."""
    failures = getattr(error, "worker_failures", {})
    causes = [getattr(failure, "_base_exc", failure) for failure in failures.values()]
    for cause in causes:
        if isinstance(cause, TransientError):
            return cause
    last = "; ".join(str(cause).strip().splitlines()[-1] for cause in causes if str(cause).strip())
    return TransientError(
        f"train.{stage}: workers were lost more than restarts = {settings.restarts} times"
        f"{f' ({last})' if last else f' ({error})'}; the last checkpoint is kept"
    )


def _refuse_without_room(stage: str, settings: TrainStage) -> None:
    import ray

    have, least = ray.cluster_resources(), settings.min_workers or settings.workers
    wanted = {"CPU": settings.threads, "GPU": settings.gpus}
    advice = {"CPU": "threads", "GPU": "gpus"}
    for kind, each in wanted.items():
        if have.get(kind, 0) < least * each:
            raise UserError(
                f"train.{stage}: {least} worker(s) of {each:g} {kind}(s), but the cluster has "
                f"{have.get(kind, 0):g} {kind}s; lower train.{stage}.workers or {advice[kind]}"
            )
