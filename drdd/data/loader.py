"""Prefetching: batches are drawn while the network computes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
THREADS, AHEAD = 2, 4


def ahead(make: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield make(item) of each item in order, computed up to AHEAD items in advance by THREADS threads.

    Threads suffice, because decoding and drawing release Python's lock. Errors of `make` are raised here.
    """
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="loader")
    try:
        rest = iter(items)
        waiting: deque[Future[Result]] = deque(pool.submit(make, x) for x in islice(rest, AHEAD))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(make, x) for x in islice(rest, 1))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
