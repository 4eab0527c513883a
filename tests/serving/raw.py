"""Clients of which a test decides every byte."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import httpx
from PIL import Image

from tests.corpora import encoded, scene

PNG = encoded(Image.fromarray(scene(0, 40, 56)), "PNG")
HEAD = b"POST /v1/restore HTTP/1.1\r\nHost: localhost\r\n"
ONE_BYTE = HEAD + b"Content-Length: 1000\r\n\r\n."
NEVER = 3600.0


@contextmanager
def clients(url: str, count: int, first: bytes) -> Iterator[list[socket.socket]]:
    """So many that are connected and have sent `first`."""
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", urlsplit(url).port or 0))
            made.append(stack.enter_context(one))
            one.sendall(first)
        yield made


def status(client: socket.socket) -> int:
    """Of the answer; 0 if the connection was cut."""
    client.settimeout(60)
    try:
        line = client.makefile("rb").readline()
    except ConnectionError:
        return 0
    return int(line.split()[1]) if line else 0


def is_open(client: socket.socket) -> bool:
    """Whether it was neither answered nor cut."""
    client.setblocking(False)
    try:
        client.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    return False


def healthy(url: str) -> None:
    """Assert that a client without faults is served."""
    for path in ("/v1/health", "/v1/ready"):
        assert httpx.get(f"{url}{path}", timeout=60).status_code == 200
    assert httpx.post(f"{url}/v1/restore", content=PNG, timeout=60).status_code == 200
