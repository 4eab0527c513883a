"""Bodies are received here, in Serve's proxy, before a request takes a slot of a replica.

A body of n bytes may take GRACE_S + n / MIN_RATE seconds, and BODY_S at most; at random up to half of
GRACE_S more, so that many slow clients that came at once do not all come again at once. All bodies together
hold a bounded memory. When it is full, the one that has been arriving longest gives way: a client that
sends as fast as it can is done before those that do not.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from drdd.serving.problems import ProblemError, refuse
from drdd.serving.readiness import Readiness

GRACE_S = 5.0
MIN_RATE = 16 * 1024  # bytes a second
BODY_S = 60.0
MEMORY = 512 * 1024**2
PAUSE_S = (
    5.0  # before a client whose body gave way is told so, lest it fills the memory again at once
)
RETRY = {"Retry-After": "2"}


class Received:
    """ASGI middleware: passes a request on once its body is there. Answers health and readiness itself."""

    def __init__(self, app: ASGIApp, memory: int = MEMORY) -> None:
        self._app, self._bodies, self._readiness = app, Bodies(memory), Readiness(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            if (answer := await self._readiness.answer(scope)) is not None:
                await answer(scope, receive, send)
            elif {b"content-length", b"transfer-encoding"} & {name for name, _ in scope["headers"]}:
                await self._pass(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        except ProblemError as error:
            # What is left of the body is of no use, so the connection ends.
            error.headers["Connection"] = "close"
            await refuse(error, scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        most = await self._readiness.max_bytes(scope)
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length[:20]) > most:
            raise _too_large(most)
        async with self._bodies.received(receive, most) as body:
            if body is not None:
                await self._app(_of_length(scope, len(body)), _replayed(body, receive), send)


class _Arrival:
    """The memory of one body, of `size` bytes until now. gave_way: its memory was given to others."""

    def __init__(self) -> None:
        self.size, self.gave_way = 0, False
        self.deadline: asyncio.Timeout


class Bodies:
    """The bodies in one event loop. memory: bytes that they hold together, or twice the largest."""

    def __init__(self, memory: int) -> None:
        self._memory, self._used = memory, 0
        self._whole = 0  # of the bytes in use, those of bodies that have arrived
        self._arriving: dict[_Arrival, None] = {}  # in the order in which they began

    @asynccontextmanager
    async def received(self, receive: Receive, most: int) -> AsyncIterator[bytes | None]:
        """A body of up to `most` bytes, which counts for the length of the block; None if the client left.

        Raises ProblemError: 408 for one that is too slow, 413, 503 for one that gave way.
        """
        arrival = _Arrival()
        try:
            body = await self._receive(arrival, receive, most)
            self._whole += arrival.size
            try:
                yield body
            finally:
                self._whole -= arrival.size
        finally:
            self._used -= arrival.size

    async def _receive(self, arrival: _Arrival, receive: Receive, most: int) -> bytes | None:
        content, memory = bytearray(), max(self._memory, 2 * most)
        began = asyncio.get_running_loop().time() + spread(GRACE_S)
        self._arriving[arrival] = None
        try:
            async with asyncio.timeout_at(began + GRACE_S) as arrival.deadline:
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    content += message.get("body", b"")
                    if len(content) > most:
                        raise _too_large(most)
                    self._hold(arrival, len(content), memory)
                    if not message.get("more_body", False):
                        return bytes(content)
                    allowed = min(GRACE_S + len(content) / MIN_RATE, BODY_S)
                    arrival.deadline.reschedule(began + allowed)
        except TimeoutError:
            if arrival.gave_way:
                del content
                if self._whole < memory / 2:  # it is slow bodies that fill it, and not a long queue
                    await asyncio.sleep(PAUSE_S + spread(PAUSE_S))
                said = "the memory for bodies is in use, and this one has been arriving longest"
                raise ProblemError(503, f"{said}; send it again", RETRY) from None
            rate = f"{MIN_RATE // 1024} KiB/s after {GRACE_S:g} s"
            raise ProblemError(
                408,
                f"the body arrives too slowly; send at least {rate}, and all within {BODY_S:g} s",
            ) from None
        finally:
            self._arriving.pop(arrival, None)

    def _hold(self, arrival: _Arrival, size: int, memory: int) -> None:
        """Count `size` bytes for a body. Raises TimeoutError if it must give way itself."""
        if arrival.gave_way:
            raise TimeoutError
        self._used, arrival.size = self._used + size - arrival.size, size
        while self._used > memory:
            oldest = next(iter(self._arriving))
            del self._arriving[oldest]
            self._used, oldest.size, oldest.gave_way = self._used - oldest.size, 0, True
            if oldest is arrival:
                raise TimeoutError
            if not oldest.deadline.expired():
                oldest.deadline.reschedule(0)


def spread(seconds: float) -> float:
    """Up to half as many seconds, at random."""
    return random.uniform(0, seconds / 2)


def _too_large(most: int) -> ProblemError:
    return ProblemError(413, f"the body is larger than {most / 1024**2:g} MiB")


def _of_length(scope: Scope, length: int) -> Scope:
    """The request with a body that is whole."""
    framing = (b"content-length", b"transfer-encoding")
    kept = [header for header in scope["headers"] if header[0] not in framing]
    return {**scope, "headers": [*kept, (b"content-length", str(length).encode())]}


def _replayed(body: bytes, receive: Receive) -> Receive:
    """First the body, then what comes after it: that the client leaves."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return first.pop() if first else await receive()

    return replay
