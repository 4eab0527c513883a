"""Connections that a client keeps open without using them: it loses them, and nobody else waits."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
import pytest

from drdd.serving import connections, receiving
from drdd.serving.connections import HEAD_BYTES, BoundedProtocol
from drdd.serving.http import make_api
from tests.serving.fakes import LIMITS, FakeService, proxied
from tests.serving.raw import HEAD, NEVER, ONE_BYTE, PNG, clients, healthy, is_open, status


@pytest.fixture
def url() -> Iterator[str]:
    with proxied(make_api(FakeService(), LIMITS, {})) as address:
        yield address


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
    healthy(url)


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
    healthy(url)


def test_headers_without_number_are_not_kept(url: str) -> None:
    for head in (
        HEAD + b"a:\r\n" * 200,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a:\r\n" * 200,
    ):
        with clients(url, 1, head) as (client,):
            assert status(client) == 400
    healthy(url)


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
        healthy(url)
        assert [status(one) for one in slow[:10]] == [0] * 10
        assert all(is_open(one) for one in slow[15:])
