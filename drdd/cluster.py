"""Where Ray runs: the cluster that RAY_ADDRESS names, else a private one for this process alone."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_STATE_ACTOR_RECONCILIATION": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    # A loaded two-core machine needs longer than the default five seconds.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    # For as many workers as there were; after a loss the group may be one that fits no more.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "15",
}


@contextmanager
def ray_cluster(cpus: int) -> Iterator[None]:
    """Connect for the duration of the block. A private cluster has at least `cpus` logical CPUs."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    # Unset, `ray start --head` turns token authentication on and clients without it are refused.
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray

    terminate = signal.getsignal(signal.SIGTERM)
    address = os.environ.get("RAY_ADDRESS")
    if address:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    else:
        ray.init(
            address="local",
            num_cpus=max(cpus, os.cpu_count() or 1),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=300 * 1024**2,
        )
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminate)  # Ray's own handler prints a native stack trace
    try:
        yield
    finally:
        ray.shutdown()
