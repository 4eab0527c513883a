"""Dynamic batching: waiting requests of a group are computed together, without any delay to fill a batch.

An idle worker takes the waiting requests at once. While it computes, requests queue, so batches grow with
the load. The group of the oldest request is next, so no group starves.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, TypeVar

from drdd.serving.service import BusyError

Group = TypeVar("Group", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")
Other = TypeVar("Other")
PACE = 0.2  # weight of the last batch in the running mean of seconds per item
SOONEST_S, LATEST_S = 1.0, 60.0  # bounds of Retry-After


@dataclass(frozen=True)
class Done(Generic[Result]):
    """waited: seconds in the queue; seconds: of computing; batch: number of items in the batch."""

    result: Result
    waited: float
    seconds: float
    batch: int


@dataclass(eq=False)
class _Request(Generic[Group, Item, Result]):
    group: Group
    item: Item
    done: "asyncio.Future[Done[Result]]"
    since: float = field(default_factory=time.monotonic)


class Batcher(Generic[Group, Item, Result]):
    """A batcher for one event loop, which computes in one thread.

    compute: (group, items) -> one result per item; limit: group -> maximum batch size; max_waiting: maximum
    number of queued requests; timeout_s: of a request, including queueing.
    """

    def __init__(
        self,
        compute: Callable[[Group, Sequence[Item]], Sequence[Result]],
        limit: Callable[[Group], int],
        max_waiting: int,
        timeout_s: float,
    ) -> None:
        self._compute, self._limit = compute, limit
        self._max_waiting, self._timeout_s = max_waiting, timeout_s
        self._waiting: dict[_Request[Group, Item, Result], None] = {}
        self._thread = ThreadPoolExecutor(1, "compute")
        self._worker: asyncio.Task[None] | None = None
        self._pace: float | None = None
        self._began: float | None = None
        self._there = 0
        self.idle = threading.Event()  # nothing waits or is computed
        self.idle.set()

    @property
    def waiting(self) -> int:
        """The number of queued requests."""
        return len(self._waiting)

    @property
    def busy_s(self) -> float | None:
        """Seconds since the thread began its present batch; None when it is idle."""
        began = self._began
        return None if began is None else time.monotonic() - began

    async def submit(self, group: Group, item: Item) -> Done[Result]:
        """The result of `item`, computed in a batch with other waiting items of its group.

        Raises BusyError when the queue is full, TimeoutError after timeout_s, and the error of `compute`
        for this item. An item that is cancelled or times out before its batch begins is not computed.
        """
        if len(self._waiting) >= self._max_waiting:
            raise BusyError(self._retry_after())
        future: asyncio.Future[Done[Result]] = asyncio.get_running_loop().create_future()
        request = _Request(group, item, future)
        self._waiting[request] = None
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        try:
            async with asyncio.timeout(self._timeout_s) as deadline:
                with self._busy():
                    return await future
        except TimeoutError:
            if deadline.expired():
                raise TimeoutError(f"not done within {self._timeout_s:g} seconds") from None
            raise
        finally:
            self._waiting.pop(request, None)

    async def aside(self, function: Callable[[], Other]) -> Other:
        """Run `function` in the computing thread, after its present batch."""
        with self._busy():
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._timed, function)

    @contextmanager
    def _busy(self) -> Iterator[None]:
        self._there += 1
        self.idle.clear()
        try:
            yield
        finally:
            self._there -= 1
            if not self._there:
                self.idle.set()

    def close(self) -> None:
        """Cancel all waiting requests and stop."""
        if self._worker is not None:
            self._worker.cancel()
        for request in self._waiting:
            request.done.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        while self._waiting:
            await self._serve(self._next_batch())

    def _next_batch(self) -> list[_Request[Group, Item, Result]]:
        """Dequeue the oldest request and others of its group, in order."""
        group = next(iter(self._waiting)).group
        alike = (request for request in self._waiting if request.group == group)
        batch = list(islice(alike, max(1, self._limit(group))))
        for request in batch:
            del self._waiting[request]
        return batch

    async def _serve(self, batch: list[_Request[Group, Item, Result]]) -> None:
        """Compute a batch.

        If it fails, compute its items singly, so that one bad item does not fail others.
        """
        group, items = batch[0].group, [request.item for request in batch]
        began = time.monotonic()
        try:
            results = await self._in_thread(group, items)
        except Exception as error:
            if len(batch) > 1:
                for request in batch:
                    if not request.done.done():
                        await self._serve([request])
            elif not batch[0].done.done():
                batch[0].done.set_exception(error)
            return
        seconds = time.monotonic() - began
        self._remember(seconds / len(batch))
        for request, result in zip(batch, results, strict=True):
            if not request.done.done():
                request.done.set_result(Done(result, began - request.since, seconds, len(batch)))

    async def _in_thread(self, group: Group, items: list[Item]) -> Sequence[Result]:
        def compute() -> Sequence[Result]:
            results = self._compute(group, items)
            if len(results) != len(items):
                raise RuntimeError(f"{len(results)} results for {len(items)} items")
            return results

        return await asyncio.get_running_loop().run_in_executor(self._thread, self._timed, compute)

    def _timed(self, function: Callable[[], Other]) -> Other:
        self._began = time.monotonic()
        try:
            return function()
        finally:
            self._began = None

    def _remember(self, seconds: float) -> None:
        pace = seconds if self._pace is None else self._pace
        self._pace = pace + PACE * (seconds - pace)

    def _retry_after(self) -> float:
        """The expected seconds until the queue is done, from the pace of recent batches."""
        return min(max((self._pace or 0.0) * len(self._waiting), SOONEST_S), LATEST_S)
