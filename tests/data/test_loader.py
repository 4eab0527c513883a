"""Work ahead comes in order, is never far ahead, and ends when nobody wants it any more."""

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drdd.data.loader import AHEAD, ahead


def _loaders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


def _slowly(item: int) -> int:
    """Later items are done earlier."""
    time.sleep(0.002 * (item % 5 == 0))
    return item * item


@given(st.integers(0, 40))
@settings(max_examples=15, deadline=None)
def test_results_come_in_the_order_of_the_items(count: int) -> None:
    assert list(ahead(_slowly, range(count))) == [n * n for n in range(count)]
    assert not _loaders()


def _counted(taken: list[int], count: int) -> Iterator[int]:
    for n in range(count):
        taken.append(n)
        yield n


def test_no_more_than_so_many_items_are_taken_in_advance() -> None:
    taken: list[int] = []
    results = ahead(_slowly, _counted(taken, 30))
    assert not taken
    for received, _ in enumerate(results, 1):
        assert len(taken) <= received - 1 + AHEAD
    assert len(taken) == 30


def test_endless_items_are_no_trouble() -> None:
    def endless() -> Iterator[int]:
        n = 0
        while True:
            yield n
            n += 1

    results = ahead(_slowly, endless())
    assert [next(results) for _ in range(10)] == [n * n for n in range(10)]
    results.close()  # type: ignore[attr-defined]
    assert not _loaders()


def test_work_is_done_while_a_result_is_used() -> None:
    """The second result is made before it is asked for."""
    made = threading.Event()

    def make(item: int) -> int:
        if item == 1:
            made.set()
        return item

    results = ahead(make, range(3))
    assert next(results) == 0
    assert made.wait(60)
    assert list(results) == [1, 2]


def test_an_error_is_raised_where_its_result_would_be() -> None:
    def make(item: int) -> int:
        if item == 3:
            raise LookupError("three")
        return item

    results = ahead(make, range(10))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(LookupError, match="three"):
        next(results)
    assert not _loaders()


def test_who_stops_early_leaves_no_thread_and_no_work() -> None:
    begun: list[int] = []

    def make(item: int) -> int:
        begun.append(item)
        return _slowly(item)

    for item in ahead(make, range(1000)):
        if item >= 4:
            break
    results = ahead(make, range(1000, 2000))
    next(results)
    assert _loaders()
    results.close()  # type: ignore[attr-defined]
    assert not _loaders()
    assert len(begun) < 30
