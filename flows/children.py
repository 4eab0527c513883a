"""No stage outlives the run that started it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

GRACE_S = 15.0


@contextmanager
def stopping_children() -> Iterator[None]:
    """When the block is left by an exception (a cancelled run), stop the processes under this one.

    They are asked first, so that Ray jobs end and checkpoints stay whole, and killed if they stay.
    """
    try:
        yield
    except BaseException:
        children = psutil.Process().children(recursive=True)
        for child in children:
            _signal(child, "terminate")
        _, alive = psutil.wait_procs(children, timeout=GRACE_S)
        for child in alive:
            _signal(child, "kill")
        raise


def _signal(process: psutil.Process, how: str) -> None:
    with suppress(psutil.NoSuchProcess):
        getattr(process, how)()
