"""A computing thread for what takes minutes. Between tiles it gives way to the batches of others."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from drdd.inference.engine import Watch

Result = TypeVar("Result")
PATIENCE = 10  # times the last tile's seconds: under full load it still has a tenth of the time


class Background:
    """idle: set while nobody else computes or waits to."""

    def __init__(self, idle: threading.Event) -> None:
        self._idle = idle
        self._thread = ThreadPoolExecutor(1, "background")
        self._since: float | None = None

    @property
    def stalled_s(self) -> float | None:
        """Seconds since it last got on; None when it has nothing to do."""
        since = self._since
        return None if since is None else time.monotonic() - since

    async def run(self, function: Callable[[Watch], Result], watch: Watch) -> Result:
        """`function` with a Watch that tells `watch` and then lets others go first."""

        def between(share: float) -> None:
            took = self.stalled_s or 0.0
            self._since = time.monotonic()
            watch(share)
            self._idle.wait(PATIENCE * took)
            self._since = time.monotonic()

        def timed() -> Result:
            self._since = time.monotonic()
            try:
                self._idle.wait(PATIENCE)
                return function(between)
            finally:
                self._since = None

        return await asyncio.get_running_loop().run_in_executor(self._thread, timed)
