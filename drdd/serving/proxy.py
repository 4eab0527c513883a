"""Middleware of Serve's HTTP proxy: turns Serve's own error answers into problems in JSON, as in the API.

Serve does not answer the requests of a replica that dies, and the HTTP server makes this a 500. Restoring
has no side effects, so such a request may be repeated: the answer is 503 with Retry-After.
"""

import json
from typing import Any

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SETTING = {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "drdd.serving.proxy:middlewares"}
PROBLEM = b"application/problem+json"
RETRY_AFTER = b"2"


def middlewares() -> list[Middleware]:
    return [Middleware(Explained)]


class Explained:
    """ASGI middleware. Paths of Serve itself (/-/...) are not changed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/-/"):
            await self._app(scope, receive, send)
            return
        began = replaced = False

        async def explained(message: Message) -> None:
            nonlocal began, replaced
            if message["type"] == "http.response.start":
                began, replaced = True, _is_serves_own(message)
                if replaced:
                    await _refuse(send)
            if not replaced:
                await send(message)

        await self._app(scope, receive, explained)
        if not began:
            await _refuse(send)


def _is_serves_own(start: Message) -> bool:
    kinds = [value for name, value in start.get("headers", []) if name.lower() == b"content-type"]
    return start["status"] in (500, 503) and not any(kind.startswith(PROBLEM) for kind in kinds)


async def _refuse(send: Send) -> None:
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "the replica that had this request is gone, or none is free; send it again",
    }
    body = json.dumps(problem).encode()
    headers = [
        (b"content-type", PROBLEM),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", RETRY_AFTER),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
