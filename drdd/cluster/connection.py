"""Connect to Ray: the cluster at RAY_ADDRESS, else a private cluster of this process."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from drdd.cluster.sessions import delete_ended_sessions
from drdd.cluster.token import private_cluster
from drdd.progress import report_ray_job

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_STATE_ACTOR_RECONCILIATION": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    # Ray's logs, and those of the service: by default 512 MB and five older ones for each process.
    "RAY_ROTATION_MAX_BYTES": "5000000",
    "RAY_ROTATION_BACKUP_COUNT": "1",
    # A loaded two-core machine needs longer than the default five seconds.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
    # Otherwise Serve gives up after three failed starts, whatever a deployment allows (deployed.py).
    "RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT": "100000",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    # Wait for the previous number of workers; after a loss of nodes they may no longer fit.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "15",
}
PRIVATE = {
    # Its only node is that of this process, which is not preempted.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # Nothing collects its metrics.
    "RAY_TRAIN_METRICS_ENABLED": "0",
    # Start more processes at once than there are cores, since starting is mostly waiting.
    "RAY_worker_maximum_startup_concurrency": "4",
}


@contextmanager
def ray_cluster(cpus: int) -> Iterator[None]:
    """Connect for the duration of the block. A private cluster has at least `cpus` logical CPUs.

    On a shared cluster, the number of the Ray job is noted in the status of the running stage, if any.
    """
    terminate = signal.getsignal(signal.SIGTERM)
    private = _Private.claim(cpus) if is_private() else None
    import ray

    try:
        if private:
            private.join()
        else:
            _set(QUIET)
            address = os.environ["RAY_ADDRESS"]
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            report_ray_job(ray.get_runtime_context().get_job_id())
        if threading.current_thread() is threading.main_thread():
            # Ray's own handler prints a native stack trace.
            signal.signal(signal.SIGTERM, terminate)
        yield
    finally:
        ray.shutdown()
        if private:
            private.end()


def is_private() -> bool:
    """Whether this process uses a private cluster."""
    return not os.environ.get("RAY_ADDRESS")


def start_ahead(cpus: int) -> None:
    """Start the private cluster of the next `ray_cluster` in the background, while the caller imports.

    cpus: those that the block will ask for; if it asks for more, it starts another cluster. Does nothing
    when RAY_ADDRESS is set. Errors are raised by the block.
    """
    if is_private() and _Private.ahead is None:
        _Private.ahead = _Private(cpus)


class _Private:
    """A cluster of one node that ends with this process, however the process ends."""

    ahead: "_Private | None" = None

    def __init__(self, cpus: int) -> None:
        _set(QUIET | private_cluster())
        self._set = _set(PRIVATE)
        self._cpus = max(cpus, os.cpu_count() or 1)
        self._started: Future[None] = Future()
        self._over = threading.Event()
        threading.Thread(target=self._live, name="ray", daemon=True).start()

    @classmethod
    def claim(cls, cpus: int) -> "_Private":
        """The cluster that was started ahead if it is large enough, else a new one."""
        ahead, cls.ahead = cls.ahead, None
        if ahead is not None and ahead._cpus < cpus:
            ahead.discard()
            ahead = None
        return ahead or cls(cpus)

    def join(self) -> None:
        self._started.result()

    def discard(self) -> None:
        import ray

        self._started.exception()
        ray.shutdown()
        self.end()

    def end(self) -> None:
        """End the cluster, after ray.shutdown(). The process may use another cluster later."""
        self._over.set()
        for name in self._set:
            os.environ.pop(name, None)

    def _live(self) -> None:
        try:
            import ray

            delete_ended_sessions()
            ray.init(
                address="local",
                num_cpus=self._cpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=300 * 1024**2,
            )
            self._started.set_result(None)
        except BaseException as error:
            self._started.set_exception(error)
        # Linux ends Ray's processes when the thread that started them ends.
        self._over.wait()


def _set(settings: dict[str, str]) -> list[str]:
    """Set environment variables that are not set yet. Returns their names."""
    missing = [name for name in settings if name not in os.environ]
    os.environ.update({name: settings[name] for name in missing})
    return missing
