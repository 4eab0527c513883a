"""Health and readiness, answered in Serve's proxy, so that they wait for no slot of a replica.

Health is that of the proxy. Readiness is what a replica said less than STALE_S ago: whoever asks makes the
proxy ask again, and gets the last answer if the next one takes longer than WAIT_S.
"""

import asyncio
import json
import math
import time
from dataclasses import dataclass

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Scope

from drdd.serving.problems import ProblemError

HEALTH, READY = "/v1/health", "/v1/ready"
FRESH_S, STALE_S = 1.0, 10.0
WAIT_S, ANSWER_S = 0.5, 5.0
TRIES = 2  # a replica that dies while it is asked says nothing of the others
NOT_READY = {"Retry-After": "5"}
SILENT = f"no replica of the service answered within {ANSWER_S:g} s"


@dataclass(frozen=True)
class _Said:
    """problem: why the service is not ready; None if it is."""

    problem: str | None
    at: float = -math.inf


class Readiness:
    """What the service behind `app` says of itself at READY (http.py)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._said = _Said(SILENT)
        self._max_bytes: int | None = None
        self._asking: asyncio.Task[None] | None = None

    async def answer(self, scope: Scope) -> JSONResponse | None:
        """Of a request for health or readiness; None for others. Raises ProblemError, 503: not ready."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["method"] not in ("GET", "HEAD") or path not in (HEALTH, READY):
            return None
        if path == HEALTH:
            return JSONResponse({"status": "alive"})
        await self._look(scope)
        if self._said.problem is not None:
            raise ProblemError(503, self._said.problem, NOT_READY)
        assert self._max_bytes is not None
        return JSONResponse({"status": "ready", "max_bytes": self._max_bytes})

    async def max_bytes(self, scope: Scope) -> int:
        """The largest body that is taken. Raises ProblemError, 503, if no replica has ever said it."""
        if self._max_bytes is None:
            await self._look(scope)
        else:  # other replicas may have another limit, from the next request on
            self._begin(scope)
        if self._max_bytes is None:
            raise ProblemError(503, self._said.problem or SILENT, NOT_READY)
        return self._max_bytes

    async def _look(self, scope: Scope) -> None:
        if (asking := self._begin(scope)) is not None:
            age = time.monotonic() - self._said.at
            await asyncio.wait({asking}, timeout=WAIT_S if age < STALE_S else None)

    def _begin(self, scope: Scope) -> "asyncio.Task[None] | None":
        """Ask, unless that is under way or was done just now."""
        if self._asking is None and time.monotonic() - self._said.at > FRESH_S:
            self._asking = asyncio.create_task(self._ask(scope))
        return self._asking

    async def _ask(self, scope: Scope) -> None:
        try:
            async with asyncio.timeout(ANSWER_S) as deadline:
                for _ in range(TRIES):
                    status, content = await _get(self._app, scope)
                    if status == 200 or deadline.expired():  # Serve's proxy swallows cancellation
                        break
            self._said = _Said(self._understood(status, content), time.monotonic())
        except Exception:  # whatever it is, the service is not ready
            self._said = _Said(SILENT, time.monotonic())
        finally:
            self._asking = None

    def _understood(self, status: int, content: bytes) -> str | None:
        """Why the service is not ready. Raises ValueError or KeyError for what is no answer of the API."""
        if status == 404:
            return "the service is not deployed here"
        said = json.loads(content)
        if status == 200:
            self._max_bytes = int(said["max_bytes"])
            return None
        return str(said["detail"])


async def _get(app: ASGIApp, scope: Scope) -> tuple[int, bytes]:
    """Status and body of a request of our own for READY. 0: it was not answered."""
    headers = [(b"host", b"localhost")]
    path = scope.get("root_path", "") + READY
    own = {"method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}
    status, content, asked = 0, b"", False

    async def receive() -> Message:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()  # this client never leaves
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, content
        status = message.get("status", status)
        content += message.get("body", b"")

    await app({**scope, **own, "headers": headers, "state": {}}, receive, send)
    return status, content
