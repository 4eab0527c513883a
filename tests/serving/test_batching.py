"""What waits alike is computed together; the late, the lost and the bad one hurt nobody else."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drdd.serving.batching import LATEST_S, SOONEST_S, Batcher, Done
from drdd.serving.service import BusyError


class Doubler:
    """Doubles numbers when it may, and keeps the batches that it got. A negative number is refused."""

    def __init__(self, open_: bool = False) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.gate, self.busy = threading.Event(), threading.Event()
        if open_:
            self.gate.set()

    def __call__(self, group: str, items: Sequence[int]) -> list[int]:
        self.batches.append((group, list(items)))
        self.busy.set()
        assert self.gate.wait(60)
        if bad := [item for item in items if item < 0]:
            raise ValueError(f"cannot double {bad[0]}")
        return [2 * item for item in items]

    def batcher(self, **changes: Any) -> Batcher[str, int, int]:
        defaults: dict[str, Any] = {"limit": lambda _: 3, "max_waiting": 100, "timeout_s": 60.0}
        return Batcher(self, **(defaults | changes))


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


async def held(doubler: Doubler, batcher: Batcher[str, int, int]) -> "asyncio.Task[Done[int]]":
    """The doubler computes one item, and goes on when its gate opens."""
    task = asyncio.create_task(batcher.submit("first", 1))
    await asyncio.to_thread(doubler.busy.wait, 60)
    return task


async def queued(
    batcher: Batcher[str, int, int], *wanted: tuple[str, int]
) -> "list[asyncio.Task[Done[int]]]":
    tasks = [asyncio.create_task(batcher.submit(*one)) for one in wanted]
    await asyncio.sleep(0)
    return tasks


def test_what_gathers_while_the_worker_is_busy_is_computed_together() -> None:
    async def test() -> None:
        doubler = Doubler()
        batcher = doubler.batcher()
        first = await held(doubler, batcher)
        wanted = [("a", 1), ("b", 2), ("a", 3), ("b", 4), ("a", 5), ("a", 6)]
        others = await queued(batcher, *wanted)
        assert batcher.waiting == 6
        doubler.gate.set()
        done = await asyncio.gather(first, *others)
        assert [one.result for one in done] == [2, 2, 4, 6, 8, 10, 12]
        # The longest waiting group is next, and takes as many as there is room for.
        assert doubler.batches == [("first", [1]), ("a", [1, 3, 5]), ("b", [2, 4]), ("a", [6])]
        assert [one.batch for one in done] == [1, 3, 2, 3, 2, 3, 1]
        assert all(one.waited >= 0 and one.seconds >= 0 for one in done)

    run(test())


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 99)), max_size=30), st.integers(1, 5)
)
def test_everything_is_computed_once_in_its_groups_order(
    wanted: list[tuple[str, int]], room: int
) -> None:
    async def test() -> None:
        doubler = Doubler()
        batcher = doubler.batcher(limit=lambda _: room)
        first = await held(doubler, batcher)
        tasks = await queued(batcher, *wanted)
        doubler.gate.set()
        done = await asyncio.gather(*tasks)
        await first
        assert [one.result for one in done] == [2 * item for _, item in wanted]
        for group in "abc":
            batches = [items for name, items in doubler.batches if name == group]
            assert [item for items in batches for item in items] == [
                item for name, item in wanted if name == group
            ]
            assert all(len(items) == room for items in batches[:-1])
        assert batcher.waiting == 0

    run(test())


def test_a_full_queue_turns_away_and_says_when_to_come_back() -> None:
    async def test() -> None:
        doubler = Doubler()
        batcher = doubler.batcher(max_waiting=2)
        first = await held(doubler, batcher)
        others = await queued(batcher, ("a", 1), ("a", 2))
        with pytest.raises(BusyError) as raised:
            await batcher.submit("a", 3)
        assert SOONEST_S <= raised.value.retry_after_s <= LATEST_S
        doubler.gate.set()
        await asyncio.gather(first, *others)
        assert (await batcher.submit("a", 4)).result == 8

    run(test())


def test_one_that_is_too_late_is_told_so_and_never_computed() -> None:
    async def test() -> None:
        doubler = Doubler()
        batcher = doubler.batcher(timeout_s=0.05)
        first = await held(doubler, batcher)
        with pytest.raises(TimeoutError, match=r"within 0\.05 seconds"):
            await batcher.submit("a", 1)
        assert batcher.waiting == 0
        with pytest.raises(TimeoutError):
            await first
        doubler.gate.set()
        assert (await batcher.submit("b", 2)).result == 4
        assert doubler.batches == [("first", [1]), ("b", [2])]

    run(test())


def test_one_whose_client_is_gone_is_not_computed() -> None:
    async def test() -> None:
        doubler = Doubler()
        batcher = doubler.batcher()
        first = await held(doubler, batcher)
        gone, stays = await queued(batcher, ("a", 1), ("a", 2))
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        doubler.gate.set()
        assert (await stays).result == 4
        await first
        assert doubler.batches == [("first", [1]), ("a", [2])]

    run(test())


def test_one_bad_item_fails_alone() -> None:
    async def test() -> None:
        doubler = Doubler()
        batcher = doubler.batcher()
        first = await held(doubler, batcher)
        tasks = await queued(batcher, ("a", 1), ("a", -2), ("a", 3))
        doubler.gate.set()
        good, bad, other = await asyncio.gather(*tasks, return_exceptions=True)
        await first
        assert isinstance(good, Done)
        assert isinstance(other, Done)
        assert (good.result, other.result) == (2, 6)
        assert isinstance(bad, ValueError)
        assert str(bad) == "cannot double -2"
        assert (await batcher.submit("a", 4)).result == 8

    run(test())


def test_too_few_results_are_an_error_and_not_a_hung_request() -> None:
    async def test() -> None:
        batcher: Batcher[str, int, int] = Batcher(lambda *_: [], lambda _: 1, 10, 60.0)
        with pytest.raises(RuntimeError, match="0 results for 1 items"):
            await batcher.submit("a", 1)

    run(test())


def test_other_work_takes_its_turn_in_the_same_thread() -> None:
    async def test() -> None:
        doubler = Doubler()
        batcher = doubler.batcher()
        first = await held(doubler, batcher)
        assert batcher.busy_s is not None
        name = asyncio.create_task(batcher.aside(threading.get_ident))
        await asyncio.sleep(0.01)
        assert not name.done()
        doubler.gate.set()
        await first
        assert await name != threading.get_ident()
        assert batcher.busy_s is None

    run(test())


def test_a_closed_one_leaves_no_thread() -> None:
    async def test() -> None:
        batcher = Doubler(open_=True).batcher()
        await batcher.submit("a", 1)
        batcher.close()
        with pytest.raises(RuntimeError):
            await batcher.aside(lambda: 1)

    run(test())
