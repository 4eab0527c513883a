"""Connections of Serve's proxy: a client that keeps one open without using it loses it.

The HTTP server has no deadline for headers, no limit of their size, and waits for ever for a client that
does not read its answer. When as many connections are open as may be, the one that has waited longest for
its client gives way to a new one.
"""

import asyncio
import json
import resource
import socket
from typing import Any, ClassVar

import uvicorn.config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from drdd.serving.problems import MEDIA_TYPE
from drdd.serving.receiving import GRACE_S, MIN_RATE, spread

HEAD_S = (
    10.0  # for all headers of a request, and for what is left of a body whose request was refused
)
HEAD_BYTES = 64 * 1024
KERNEL_BYTES = 256 * 1024  # of a connection that wait in the kernel; by itself it keeps megabytes
HEADERS, PIPELINED = 100, 16  # of a request; requests that a client may send before it is answered
MOST = 4096  # connections, or a quarter of the files that the process may open if they are fewer
REASONS = {408: "Request Timeout", 431: "Request Header Fields Too Large"}


def bound_connections() -> None:
    """Make every HTTP server that is started from now on in this process use BoundedProtocol.

    Serve starts its proxy's without a way to name one, so this changes what the server's "auto" stands for.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    BoundedProtocol.most = min(MOST, most // 4)
    name = f"{BoundedProtocol.__module__}:{BoundedProtocol.__qualname__}"
    uvicorn.config.HTTP_PROTOCOLS["auto"] = name


class BoundedProtocol(HttpToolsProtocol):
    """The HTTP server's protocol, one object a connection, with deadlines.

    most: connections of the process. `_waiting` holds those for whose client the server waits, the
    longest wait first: all but those whose request is there and not yet answered.
    """

    most: ClassVar[int] = MOST
    _open: ClassVar[set["BoundedProtocol"]] = set()
    _waiting: ClassVar[dict["BoundedProtocol", None]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ws_protocol_class = None  # a connection that becomes a WebSocket leaves this protocol
        self._head: int | None = (
            0  # bytes of the headers that are arriving; None when they are there
        )
        self._whole = True  # whether the last request has arrived as a whole
        self._deadline: asyncio.TimerHandle | None = None
        self._unread, self._drained = (
            0,
            False,
        )  # bytes that the client has not taken; whether it took some
        self._watch: asyncio.TimerHandle | None = None

    # --- what the client sends

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        connected: socket.socket = transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)
        super().connection_made(transport)
        self._open.add(self)
        self._wait()
        self._until(HEAD_S)
        if len(self._open) > self.most:
            oldest = next(iter(self._waiting))
            oldest._forget()
            oldest.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += len(data)
            if self._deadline is None and not self._is_busy():
                self._until(HEAD_S)
        super().data_received(data)
        if self._head is not None and self._head > HEAD_BYTES:
            self._refuse(431, f"the headers are larger than {HEAD_BYTES // 1024} KiB")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Raises OverflowError for too many, which ends the connection with 400."""
        if len(self.headers) >= HEADERS:
            raise OverflowError(f"more than {HEADERS} headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Raises OverflowError for too many requests at once, which ends the connection with 400."""
        if len(self.pipeline) >= PIPELINED:
            raise OverflowError(f"more than {PIPELINED} requests at once")
        self._head, self._whole = None, False
        self._until(None)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._head, self._whole = 0, True
        if self._is_busy():
            self._waiting.pop(self, None)
        else:  # it was refused before; the HTTP server waits without a limit for the next request
            self._until(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        self._until(None)
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    # --- what it is answered

    def on_response_complete(self) -> None:
        goes_on = bool(self.pipeline)
        super().on_response_complete()
        if not goes_on:
            self._wait()
            if not self._whole or self._head:
                self._until(HEAD_S)
        if self.transport.get_write_buffer_size():
            self._expect_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._drained = True

    def _expect_reading(self) -> None:
        """End the connection unless the client takes MIN_RATE of what it is sent."""
        if self._watch is None:
            self._unread, self._drained = self.transport.get_write_buffer_size(), False
            self._watch = self.loop.call_later(GRACE_S, self._check_reading)

    def _check_reading(self) -> None:
        self._watch = None
        left = self.transport.get_write_buffer_size()
        if left and not self._drained and left > self._unread - GRACE_S * MIN_RATE:
            self.transport.abort()
        elif left:
            self._expect_reading()

    # --- how long it is waited for

    def _is_busy(self) -> bool:
        """Whether a request is not answered yet."""
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        """From now on the server waits for the client."""
        self._waiting.pop(self, None)
        if self in self._open:
            self._waiting[self] = None

    def _forget(self) -> None:
        self._open.discard(self)
        self._waiting.pop(self, None)

    def _until(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None
        if seconds is not None:
            self._deadline = self.loop.call_later(seconds + spread(seconds), self._late)

    def _late(self) -> None:
        if self._head:
            self._refuse(408, f"the headers did not arrive within {HEAD_S:g} s")
        else:
            self.transport.abort()

    def _refuse(self, status: int, detail: str) -> None:
        """Answer a request whose headers are not all there, and end the connection."""
        if self._is_busy() or self.transport.is_closing():
            self.transport.abort()
            return
        title = REASONS[status]
        problem = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        body = json.dumps(problem).encode()
        head = f"HTTP/1.1 {status} {title}\r\nContent-Type: {MEDIA_TYPE}\r\nConnection: close\r\n"
        self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()
