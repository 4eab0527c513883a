"""A proxy before an S3 server that disturbs chosen requests: real sockets, real resets.

Signatures cover the Host header, so it is forwarded as the client sent it.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

TRICKLE_S = 0.05  # for the whole body of one answer
PIECES = 10
NOT_FORWARDED = {"expect", "connection", "transfer-encoding"}
ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>disturbed</Message></Error>"


class Fault(Enum):
    """What becomes of a request, or of its answer."""

    RESET_BEFORE = "the connection is reset before the server has seen the request"
    RESET_AFTER = "the server has done it, the connection is reset before its answer"
    INTERNAL = "500 InternalError, nothing is done"
    SLOW_DOWN = "503 SlowDown, nothing is done"
    STALL = "the server has done it, no answer comes"
    TRICKLE = "the answer's body comes in small pieces"
    CUT = "the connection ends in the middle of the answer"


class Answer(NamedTuple):
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes


class FaultyS3(ThreadingHTTPServer):
    """Between a client and the S3 server at `upstream`, a URL. requests: how many have come."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.over = threading.Event()
        self._lock = threading.Lock()
        self.calm()

    def calm(self) -> None:
        """Forward everything from now on, and count anew."""
        self.disturb(None, 0)

    def disturb(self, fault: Fault | None, at: int, once: bool = True) -> None:
        """The `at`-th request from now, the first being 1; unless once, all that follow it too."""
        with self._lock:
            self._fault, self._at, self._once, self.requests = fault, at, once, 0

    @property
    def has_struck(self) -> bool:
        return self._fault is not None and self.requests >= self._at

    def next_fault(self) -> Fault | None:
        with self._lock:
            self.requests += 1
            hit = self.requests == self._at or (self.requests > self._at and not self._once)
            return self._fault if hit else None

    def shutdown_request(self, request: Any) -> None:
        """Without the orderly end that would come before a reset."""
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone away is nothing to print a traceback for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every body waits 40 ms for its head
    server: FaultyS3

    def log_message(self, *arguments: Any) -> None:
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.next_fault()
        if fault is Fault.RESET_BEFORE:
            return self._reset()
        if fault in (Fault.INTERNAL, Fault.SLOW_DOWN):
            return self._send(_refusal(fault))
        answer = self._forwarded(body)
        if fault is Fault.RESET_AFTER:
            return self._reset()
        if fault is Fault.STALL:
            self.server.over.wait()
            return self._reset()
        if fault is Fault.CUT:
            return self._cut(answer)
        return self._send(answer, TRICKLE_S if fault is Fault.TRICKLE else 0)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815

    def _forwarded(self, body: bytes) -> Answer:
        connection = HTTPConnection(self.server.upstream, timeout=30)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in NOT_FORWARDED:
                connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        content = answer.read()
        kept = [(name, value) for name, value in answer.getheaders() if _is_kept(name)]
        length = answer.getheader("Content-Length", "0") if self.command == "HEAD" else len(content)
        connection.close()
        return Answer(
            answer.status, answer.reason, [*kept, ("Content-Length", str(length))], content
        )

    def _send(self, answer: Answer, lasting: float = 0) -> None:
        self.wfile.write(_head(answer))
        body = b"" if self.command == "HEAD" else answer.body
        step = max(1, -(-len(body) // PIECES)) if lasting else max(1, len(body))
        for start in range(0, len(body), step):
            self.server.over.wait(lasting / PIECES)
            self.wfile.write(body[start : start + step])
            self.wfile.flush()

    def _cut(self, answer: Answer) -> None:
        """In the middle of the body; of the head, where there is no body."""
        whole = _head(answer) + (b"" if self.command == "HEAD" else answer.body)
        end = len(_head(answer)) + len(answer.body) // 2
        self.wfile.write(whole[:end] if end < len(whole) else whole[: len(whole) // 2])
        self.close_connection = True

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


def _is_kept(name: str) -> bool:
    return name.lower() not in {*NOT_FORWARDED, "content-length"}


def _refusal(fault: Fault) -> Answer:
    status, code = (503, "SlowDown") if fault is Fault.SLOW_DOWN else (500, "InternalError")
    body = ERROR.format(code).encode()
    kind = ("Content-Type", "application/xml")
    return Answer(status, code, [kind, ("Content-Length", str(len(body)))], body)


def _head(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@contextmanager
def faulty_s3(upstream: str) -> Iterator[FaultyS3]:
    """The proxy, serving for the duration of the block."""
    with FaultyS3(upstream) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.over.set()
            proxy.shutdown()
            thread.join()
