"""Stop the processes of stages when their run ends."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil

ENDING = threading.Event()  # this process ends: start nothing, retry nothing
GRACE_S = 7.0  # for a last checkpoint; a cancelled run is over within ten seconds


@contextmanager
def stopping_children() -> Iterator[None]:
    """Stop all child processes when an exception, such as a cancellation, leaves the block."""
    try:
        yield
    except BaseException:
        ENDING.set()
        stop(child.pid for child in psutil.Process().children())
        raise


def stop(pids: Iterable[int]) -> None:
    """End these processes and all their children.

    They get SIGTERM first, so that Ray jobs end and checkpoints stay whole, and SIGKILL after GRACE_S.
    """
    processes = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            processes += [process, *process.children(recursive=True)]
    for process in processes:
        _signal(process, "terminate")
    _, alive = psutil.wait_procs(processes, timeout=GRACE_S)
    for process in alive:
        _signal(process, "kill")


def _signal(process: psutil.Process, how: str) -> None:
    with suppress(psutil.NoSuchProcess):
        getattr(process, how)()
