"""Clients that are slow on purpose: they lose their connection, and nobody else waits for them."""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import httpx
import pytest
from PIL import Image

from drdd.serving import connections, readiness, receiving
from drdd.serving.connections import HEAD_BYTES, BoundedProtocol
from drdd.serving.http import make_api
from drdd.serving.problems import ProblemError
from drdd.serving.readiness import SILENT
from drdd.serving.receiving import Bodies
from tests.corpora import encoded, scene
from tests.serving.fakes import LIMITS, FakeService, proxied
from tests.serving.raw import clients, is_open, status

PNG = encoded(Image.fromarray(scene(0, 40, 56)), "PNG")
HEAD = b"POST /v1/restore HTTP/1.1\r\nHost: localhost\r\n"
ONE_BYTE = HEAD + b"Content-Length: 1000\r\n\r\n."
NEVER = 3600.0


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def url(service: FakeService) -> Iterator[str]:
    with proxied(make_api(service, LIMITS, {})) as address:
        yield address


def _healthy(url: str) -> None:
    """A healthy client is served."""
    for path in ("/v1/health", "/v1/ready"):
        assert httpx.get(f"{url}{path}", timeout=60).status_code == 200
    assert httpx.post(f"{url}/v1/restore", content=PNG, timeout=60).status_code == 200


# --- bodies


def test_a_request_is_passed_on_when_its_body_is_there(
    url: str, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "GRACE_S", NEVER)
    with clients(url, 200, ONE_BYTE) as slow:
        _healthy(url)
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
    _healthy(url)


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
        _healthy(url)
        assert [status(one) for one in slow[:20]] == [503] * 20
        assert any(is_open(one) for one in slow[20:])
    assert max(held) <= 3 * 1024**2


# --- connections


def test_headers_that_do_not_come_are_not_waited_for(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.3)
    with clients(url, 2, HEAD) as (slow, trickling), clients(url, 1, b"") as (silent,):
        for _ in range(20):
            if not is_open(trickling):
                break
            trickling.sendall(b"X-And: more\r\n")
            time.sleep(0.05)
        assert [status(one) for one in (slow, trickling, silent)] == [408, 408, 0]


def test_headers_without_an_end_are_not_kept(url: str) -> None:
    for begin, more in ((HEAD + b"X-And: ", b"x"), (b"GET /", b"x"), (HEAD, b"X-And: more\r\n")):
        with clients(url, 1, begin) as (client,), suppress(ConnectionError):
            for _ in range(100):
                client.sendall(more * (HEAD_BYTES // len(more)))
                time.sleep(0.01)
            pytest.fail("the service took a hundred times the headers that it may keep")
    _healthy(url)


@pytest.mark.parametrize("left", [1000, 10])
def test_what_is_left_of_a_refused_body_is_not_waited_for(
    url: str, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it goes on and on, or ends and nothing follows."""
    monkeypatch.setattr(connections, "HEAD_S", 0.3)
    head = b"POST /v1/models HTTP/1.1\r\nHost: evil.example\r\nContent-Length: %d\r\n\r\n" % left
    with clients(url, 1, head) as (client,):
        answer = client.makefile("rb")
        assert answer.readline().split()[1] == b"421"
        with suppress(ConnectionError):
            for _ in range(min(left, 200)):
                client.sendall(b".")
                time.sleep(0.02)
            if left > 200:
                pytest.fail("the service waits for the rest of a body that it has refused")
            client.settimeout(60)
            answer.read()  # until the service ends the connection


def test_requests_that_come_by_thousands_in_one_packet_are_not_kept(url: str) -> None:
    flood = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 5000
    with clients(url, 1, b"") as (client,):
        with suppress(ConnectionError):
            client.sendall(flood)
        client.settimeout(60)
        taken = b""
        with suppress(ConnectionError):
            while part := client.recv(2**20):
                taken += part
    assert taken.count(b"HTTP/1.1 ") < 100
    _healthy(url)


def test_headers_without_number_are_not_kept(url: str) -> None:
    for head in (
        HEAD + b"a:\r\n" * 200,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a:\r\n" * 200,
    ):
        with clients(url, 1, head) as (client,):
            assert status(client) == 400
    _healthy(url)


def test_a_connection_is_used_again_and_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.4)
    with httpx.Client(base_url=url) as client:
        for _ in range(4):
            assert client.post("/v1/restore", content=PNG).status_code == 200
            time.sleep(0.2)
    pipelined = b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3
    with clients(url, 1, pipelined) as (one,):
        answer = one.makefile("rb")
        for _ in range(3):
            assert answer.readline().split()[1] == b"200"
            while answer.readline() != b"\r\n":
                pass
            assert answer.read(len(b'{"status":"alive"}')) == b'{"status":"alive"}'


def test_a_request_may_take_longer_than_its_headers_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.2)

    async def wait() -> None:
        await asyncio.sleep(0.8)

    with proxied(make_api(FakeService(instead=wait), LIMITS, {})) as url:
        assert httpx.post(f"{url}/v1/restore", content=PNG).status_code == 200


def test_an_answer_that_is_not_read_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "GRACE_S", 0.3)
    ended = threading.Event()

    async def inner(scope: dict, receive: Callable, send: Callable) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(scope["path"].count("x")):
            await send(
                {"type": "http.response.body", "body": bytes(64 * 1024**2), "more_body": True}
            )
        await send({"type": "http.response.body", "body": bytes(64 * 1024**2)})

    lost = BoundedProtocol.connection_lost

    def connection_lost(protocol: BoundedProtocol, exc: Exception | None) -> None:
        lost(protocol, exc)
        ended.set()

    monkeypatch.setattr(BoundedProtocol, "connection_lost", connection_lost)
    for path in (b"/", b"/xx"):  # one body in the buffer; one whose sender waits for the client
        ended.clear()
        request = b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with proxied(inner) as url, clients(url, 1, request):  # type: ignore[arg-type]
            assert ended.wait(60)


def test_an_answer_that_is_read_slowly_comes_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "GRACE_S", 0.2)
    size = 16 * 1024**2

    async def inner(scope: dict, receive: Callable, send: Callable) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(size)})

    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with proxied(inner) as url, clients(url, 1, request) as (client,):  # type: ignore[arg-type]
        taken = 0
        while part := client.recv(200_000):
            taken += len(part)
            time.sleep(0.01)
    assert taken > size


def test_when_no_more_may_be_open_the_longest_wait_ends(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "GRACE_S", NEVER)
    monkeypatch.setattr(BoundedProtocol, "most", 20)
    with clients(url, 30, ONE_BYTE) as slow:
        _healthy(url)
        assert [status(one) for one in slow[:10]] == [0] * 10
        assert all(is_open(one) for one in slow[15:])


# --- health and readiness


@pytest.fixture
def unready() -> FakeService:
    return FakeService(unready="champion is being loaded")


def test_readiness_says_what_the_service_says(unready: FakeService) -> None:
    with proxied(make_api(unready, LIMITS, {})) as url:
        answer = httpx.get(f"{url}/v1/ready")
        assert answer.status_code == 503
        assert answer.json()["detail"] == "champion is being loaded"
        assert httpx.get(f"{url}/v1/health").json() == {"status": "alive"}
        assert (
            httpx.post(f"{url}/v1/restore", content=PNG).json()["detail"] == answer.json()["detail"]
        )
        unready._unready = None
        while (again := httpx.get(f"{url}/v1/ready")).status_code != 200:
            time.sleep(0.05)
        assert again.json() == {"status": "ready", "max_bytes": 1024**2}
        assert httpx.post(f"{url}/v1/restore", content=PNG).status_code == 200
        unready._unready = "champion is gone"
        while (again := httpx.get(f"{url}/v1/ready")).status_code != 503:
            time.sleep(0.05)
        assert again.json()["detail"] == "champion is gone"


def test_a_service_that_does_not_answer_is_alive_and_not_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness, "ANSWER_S", 0.2)

    async def stuck(scope: dict, receive: Callable, send: Callable) -> None:
        await asyncio.sleep(NEVER)

    async def broken(scope: dict, receive: Callable, send: Callable) -> None:
        raise RuntimeError("surprise")

    for inner in (stuck, broken):
        with proxied(inner) as url:  # type: ignore[arg-type]
            assert httpx.get(f"{url}/v1/health").status_code == 200
            for _ in range(2):
                answer = httpx.get(f"{url}/v1/ready")
                assert (answer.status_code, answer.json()["detail"]) == (503, SILENT)


def test_one_replica_that_dies_when_it_is_asked_says_nothing_of_the_others() -> None:
    asked = 0

    async def inner(scope: dict, receive: Callable, send: Callable) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b'{"max_bytes": 5}'})

    with proxied(inner) as url:  # type: ignore[arg-type]
        assert httpx.get(f"{url}/v1/ready").json() == {"status": "ready", "max_bytes": 5}
