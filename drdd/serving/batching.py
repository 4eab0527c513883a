"""Requests become batches: what waits alike is computed together, and nothing waits to be joined.

An idle worker takes what is there at once; while it computes, requests gather, and so batches grow with
the load by themselves. The group of the one who has waited longest is next, so no group starves.
"""

import asyncio
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, TypeVar

from drdd.serving.service import BusyError

Group = TypeVar("Group", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")
Other = TypeVar("Other")
PACE = 0.2  # the weight of the last batch in the running mean of seconds an item
SOONEST_S, LATEST_S = 1.0, 60.0  # when one who is turned away is told to come back


@dataclass(frozen=True)
class Done(Generic[Result]):
    """waited: seconds until its computing began; seconds: of computing; batch: items computed together."""

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
    """For one event loop. Computing happens in one thread of its own.

    compute: (group, items of it) -> as many results; limit: how many items of a group a batch may have.
    max_waiting: requests that may wait, beside those being computed; timeout_s: of a request, in all.
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

    @property
    def waiting(self) -> int:
        """Requests that no batch has taken yet."""
        return len(self._waiting)

    @property
    def busy_s(self) -> float | None:
        """Seconds for which the thread has computed what it computes; None when it is idle."""
        began = self._began
        return None if began is None else time.monotonic() - began

    async def submit(self, group: Group, item: Item) -> Done[Result]:
        """The result of `item`, computed with whatever of its group waits at the same time.

        Raises BusyError when too many wait, TimeoutError after timeout_s, and what compute raises for
        this item alone. One that is cancelled or too late before its batch begins is not computed.
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
                return await future
        except TimeoutError:
            if deadline.expired():
                raise TimeoutError(f"not done within {self._timeout_s:g} seconds") from None
            raise
        finally:
            self._waiting.pop(request, None)

    async def aside(self, function: Callable[[], Other]) -> Other:
        """Run `function` in the same thread, after the batch that it computes now."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._timed, function)

    def close(self) -> None:
        """What waits is not computed any more: it is cancelled."""
        if self._worker is not None:
            self._worker.cancel()
        for request in self._waiting:
            request.done.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        while self._waiting:
            await self._serve(self._next_batch())

    def _next_batch(self) -> list[_Request[Group, Item, Result]]:
        """Taken out of the queue: the first that waits, and others of its group in their order."""
        group = next(iter(self._waiting)).group
        alike = (request for request in self._waiting if request.group == group)
        batch = list(islice(alike, max(1, self._limit(group))))
        for request in batch:
            del self._waiting[request]
        return batch

    async def _serve(self, batch: list[_Request[Group, Item, Result]]) -> None:
        """One by one if the batch fails: what is wrong with one item does not fail the others."""
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
        """As long as what waits now is going to take, as far as the last batches tell."""
        return min(max((self._pace or 0.0) * len(self._waiting), SOONEST_S), LATEST_S)
