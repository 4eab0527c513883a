"""Run the training loop in Ray Train: resources, checkpoints, recovery, messages to the caller."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from drdd.cluster.checkpoints import Checkpoints
from drdd.cluster.connection import ray_cluster
from drdd.cluster.control import GRACE_S, Began, Control, Failed, LogMessage
from drdd.cluster.ray_internals import cause_of
from drdd.cluster.sessions import SCRATCH
from drdd.errors import TransientError, UserError, failure_of
from drdd.params import TrainStage
from drdd.storage.versions import push, shared_folder
from drdd.training.history import Point, Progress, reproducible
from drdd.training.job import Job, settings_of
from drdd.training.loop import Trained

POLL_S = 0.5
GROW_S = 30.0  # how often an elastic run looks for resources for more workers
VARIABLE = "DRDD_CHECKPOINTS"


class Watcher(Protocol):
    """Shows training to somebody while it runs."""

    def begin(self, history: Sequence[Point]) -> None:
        """Training begins, or resumes, after these points; what was shown after them is undone."""

    def report(self, progress: Progress) -> None: ...

    def say(self, sentence: str) -> None: ...


@contextmanager
def fitted(job: Job, name: str, folder: Path, watcher: Watcher) -> Iterator[Trained]:
    """Train on a Ray cluster; an interrupted run of the same `name` resumes.

    folder: for checkpoints, which are deleted when the block, which writes the results, ends without an
    error. DRDD_CHECKPOINTS, a folder or an s3:// prefix, has precedence; a cluster of several nodes keeps
    them in DVC's remote, from which its workers read the shards.
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
            f"{checkpoints.uri}: the last checkpoint cannot be read ({' '.join(checkpoints.warnings)})"
        )
    state, _ = found
    yield Trained(state["learner"]["ema"], [reproducible(point) for point in state["points"]])
    checkpoints.discard()


def _store_of(job: Job, folder: Path) -> str:
    """A folder or s3:// prefix that all nodes reach; several nodes find the shards in DVC's remote."""
    import ray

    given = os.environ.get(VARIABLE)
    nodes = sum(node["Alive"] for node in ray.nodes())
    if nodes > 1:
        push(job.shards)
    if given:
        return given.rstrip("/") if "://" in given else str(Path(given).absolute())
    return shared_folder("checkpoints") if nodes > 1 else str(folder.absolute())


def _trainer(job: Job, uri: str, control: Control, scratch: str) -> Any:
    """Make the TorchTrainer.

    uri: of the checkpoints; scratch: a folder for Ray Train's files, never read.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from drdd.cluster.hooks import EndWithRun, SavingTorchConfig
    from drdd.cluster.worker import train_worker

    logging.getLogger("ray.train").setLevel(logging.ERROR)
    settings = settings_of(job)
    resources = {"CPU": float(settings.threads)}
    if settings.gpus:
        resources["GPU"] = settings.gpus
    workers: Any = settings.workers
    if settings.min_workers is not None:
        workers = (settings.min_workers, settings.workers)
    # Ray shows type checkers the classes of its previous version.
    scaling: Any = ScalingConfig
    run: Any = RunConfig
    return TorchTrainer(
        # Bound arguments, because the controller would unpickle a configuration, with all its imports.
        partial(train_worker, job, control, uri),
        torch_config=SavingTorchConfig(control),
        scaling_config=scaling(
            num_workers=workers,
            use_gpu=settings.gpus > 0,
            resources_per_worker=resources,
            elastic_resize_monitor_interval_s=GROW_S,
        ),
        run_config=run(
            name=job.stage,
            storage_path=scratch,
            failure_config=FailureConfig(max_failures=settings.restarts),
            callbacks=[EndWithRun(control)],
        ),
    )


def _run(job: Job, uri: str, settings: TrainStage, watcher: Watcher) -> None:
    """Run TorchTrainer.fit and pass on the messages of its workers.

    fit runs in its own thread, because in the main thread it handles Ctrl-C and ends the process as if
    training had succeeded.
    """
    from ray.train import TrainingFailedError

    control = Control.start()
    with TemporaryDirectory(prefix=f"{SCRATCH}{os.getpid()}-") as scratch:
        running = _in_thread(_trainer(job, uri, control, scratch).fit)
        try:
            done = False
            while not done:
                done = bool(wait([running], timeout=POLL_S).done)
                for message in control.poll():
                    _handle(message, watcher)
            running.result()
        except TrainingFailedError as error:
            raise _diagnosis(error, job.stage, settings) from error
        except KeyboardInterrupt:
            control.request_save()
            raise
        finally:
            control.end()
            wait([running], timeout=GRACE_S)


def _handle(message: Began | Progress | LogMessage | Failed, watcher: Watcher) -> None:
    if isinstance(message, Failed):
        raise message.error
    if isinstance(message, Began):
        watcher.begin(message.history)
    elif isinstance(message, LogMessage):
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
    """The TransientError of a worker, if there is one; else one that says that workers were lost."""
    failures = getattr(error, "worker_failures", {})
    causes = [cause_of(failure) for failure in failures.values()]
    for cause in causes:
        if isinstance(cause, TransientError):
            return cause
    last = "; ".join(str(cause).strip().splitlines()[-1] for cause in causes if str(cause).strip())
    nodes = f"`ray status` shows the nodes; lower train.{stage}.workers, or raise its restarts"
    known = (failure_of(cause).remedy for cause in causes)
    return TransientError(
        f"train.{stage}: workers were lost more than restarts = {settings.restarts} times"
        f"{f' ({last})' if last else f' ({error})'}; the last checkpoint is kept",
        next(filter(None, known), nodes),
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
