"""Bodies that come slowly, or not at all, or are too many: nobody else waits for them."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx
import pytest

from drdd.serving import receiving
from drdd.serving.http import make_api
from drdd.serving.problems import ProblemError
from drdd.serving.receiving import Bodies
from tests.serving.fakes import LIMITS, FakeService, proxied
from tests.serving.raw import HEAD, NEVER, ONE_BYTE, clients, healthy, is_open, status


def test_a_request_is_passed_on_when_its_body_is_there(
    url: str, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "GRACE_S", NEVER)
    with clients(url, 200, ONE_BYTE) as slow:
        healthy(url)
        assert all(is_open(one) for one in slow)
        assert len(service.asked) == 1
        slow[0].sendall(b"." * 999)
        assert status(slow[0]) == 422  # it is no picture


@pytest.mark.parametrize("framing", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("method", [b"POST /v1/restore", b"GET /v1/models", b"PUT /-/routes"])
def test_a_body_that_does_not_come_is_refused(
    url: str, framing: bytes, method: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "GRACE_S", 0.2)
    head = method + b" HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n\r\n"
    with clients(url, 3, head) as slow:
        assert [status(one) for one in slow] == [408] * 3
    healthy(url)


def test_the_rate_and_the_deadline_count_and_not_the_pauses(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "GRACE_S", 0.5)
    monkeypatch.setattr(receiving, "MIN_RATE", 1000)
    head = HEAD + b"Content-Length: 5000\r\n\r\n"
    with clients(url, 2, head) as (steady, trickling):
        steady.sendall(b"." * 4999)  # enough for five seconds
        for _ in range(40):
            if not is_open(trickling):
                break
            trickling.sendall(b".")
            time.sleep(0.05)
        assert status(trickling) == 408
        assert is_open(steady)
        steady.sendall(b".")
        steady.setblocking(True)
        assert status(steady) == 422
    monkeypatch.setattr(receiving, "BODY_S", 0.1)
    with clients(url, 1, head + b"." * 4000) as (late,):
        assert status(late) == 408


def test_a_body_over_the_limit_is_refused_before_it_is_read(url: str, service: FakeService) -> None:
    size = 1024**2 + 1
    with clients(url, 1, HEAD + b"Content-Length: %d\r\n\r\n" % size) as (client,):
        assert status(client) == 413
    chunks = (bytes(100_000) for _ in range(20))
    with suppress(httpx.WriteError):  # the service may close the connection before all is sent
        assert httpx.post(f"{url}/v1/restore", content=chunks).status_code == 413
    assert not service.asked


def test_bodies_come_through_as_they_were_sent() -> None:
    seen: list[tuple[bytes, dict[bytes, bytes]]] = []

    async def inner(scope: dict, receive: Callable[[], Awaitable[dict]], send: Callable) -> None:
        message = await receive()
        ready = scope["path"] == "/v1/ready"
        if not ready:
            seen.append((message["body"], dict(scope["headers"])))
            assert not message["more_body"]
        body = json.dumps({"max_bytes": 10**6}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    sent = [b"", b"a", bytes(range(256)) * 3000]
    with proxied(inner) as url:  # type: ignore[arg-type]
        for body in sent:
            assert httpx.post(url, content=body).status_code == 200
            assert httpx.post(url, content=iter([body[:5], body[5:]])).status_code == 200
    assert [body for body, _ in seen] == [body for body in sent for _ in range(2)]
    for body, headers in seen:
        assert headers[b"content-length"] == str(len(body)).encode()
        assert b"transfer-encoding" not in headers


async def _body(queue: "asyncio.Queue[bytes]", bodies: Bodies, most: int = 100) -> int:
    async def receive() -> dict:
        return {"type": "http.request", "body": await queue.get(), "more_body": True}

    async with bodies.received(receive, most) as body:
        return len(body or b"")


def test_the_longest_wait_gives_way_when_the_memory_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The memory is that of two bodies here."""
    monkeypatch.setattr(receiving, "PAUSE_S", 0.0)

    async def run() -> None:
        bodies = Bodies(0)
        queues: list[asyncio.Queue[bytes]] = [asyncio.Queue() for _ in range(4)]
        tasks = [asyncio.create_task(_body(queue, bodies)) for queue in queues]
        for queue in queues[:3]:
            await asyncio.sleep(0)
            queue.put_nowait(bytes(90))
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert done == {tasks[0]}
        error = tasks[0].exception()
        assert isinstance(error, ProblemError)
        assert (error.status, error.headers) == (503, {"Retry-After": "2"})
        queues[1].put_nowait(bytes(20))  # and the second is too large for itself
        done, _ = await asyncio.wait(tasks[1:], return_when=asyncio.FIRST_COMPLETED)
        assert done == {tasks[1]}
        assert bodies._used == 90
        for task in tasks[2:]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (bodies._used, bodies._arriving) == (0, {})

    asyncio.run(run())


def test_one_that_is_late_just_now_does_no_harm_to_the_one_that_needs_its_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one turn of the event loop, the first is late and the third arrives."""
    monkeypatch.setattr(receiving, "PAUSE_S", 0.0)

    async def run() -> None:
        bodies = Bodies(0)
        queues: list[asyncio.Queue[bytes]] = [asyncio.Queue() for _ in range(3)]
        tasks = []
        for queue, grace, size in zip(queues, (0.5, NEVER, NEVER), (90, 90, 0), strict=True):
            monkeypatch.setattr(receiving, "GRACE_S", grace)
            tasks.append(asyncio.create_task(_body(queue, bodies)))
            queue.put_nowait(bytes(size))
            for _ in range(5):
                await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(queues[2].put_nowait, bytes(90))
        time.sleep(1)
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert done == {tasks[0]}
        assert isinstance(tasks[0].exception(), ProblemError)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())


def test_bodies_that_are_there_are_kept_and_the_next_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The memory is that of two bodies here; PAUSE_S is for floods of slow ones alone."""
    monkeypatch.setattr(receiving, "PAUSE_S", NEVER)

    async def receive() -> dict:
        return {"type": "http.request", "body": bytes(80), "more_body": False}

    async def run() -> None:
        bodies = Bodies(0)
        async with bodies.received(receive, 100) as one, bodies.received(receive, 100) as other:
            assert (one, other) == (bytes(80), bytes(80))
            with pytest.raises(ProblemError, match="memory for bodies is in use"):
                async with bodies.received(receive, 100):
                    pass
        async with bodies.received(receive, 100) as one:
            assert (bodies._used, bodies._whole) == (80, 80)
        assert (bodies._used, bodies._whole) == (0, 0)

    asyncio.run(run())


def test_partial_bodies_of_many_clients_hold_no_more_than_the_memory(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "GRACE_S", NEVER)
    monkeypatch.setattr(receiving, "PAUSE_S", 0.5)
    held: list[int] = []
    hold = Bodies._hold

    def holding(bodies: Bodies, *args: int) -> None:
        hold(bodies, *args)  # type: ignore[arg-type]
        held.append(bodies._used)

    monkeypatch.setattr(Bodies, "_hold", holding)
    monkeypatch.setattr(receiving.Received.__init__, "__defaults__", (3 * 1024**2,))
    with (
        proxied(make_api(service, LIMITS, {})) as url,
        clients(url, 30, HEAD + b"Content-Length: 1000000\r\n\r\n" + bytes(900_000)) as slow,
    ):
        healthy(url)
        assert [status(one) for one in slow[:20]] == [503] * 20
        assert any(is_open(one) for one in slow[20:])
    assert max(held) <= 3 * 1024**2
