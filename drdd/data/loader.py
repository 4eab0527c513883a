"""Work ahead of whoever needs its results: batches are drawn while the network computes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
THREADS, AHEAD = 2, 4


def ahead(make: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """make(item) of each item, in their order, up to AHEAD of them made in advance by THREADS.

    Decoding and drawing release Python's lock, so threads do. What `make` raises is raised here.
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
