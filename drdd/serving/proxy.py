"""What Serve's HTTP proxy does before and after Serve: the setting, and the middleware that it names.

From the outside to the inside: connections with deadlines (connections.py), the check of Host and origin
(origins.py), receipt of the body, health and readiness (receiving.py), and `Explained`.
"""

import os

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from drdd.serving.connections import bound_connections
from drdd.serving.origins import NAMES, Guarded, names_of_environment
from drdd.serving.problems import MEDIA_TYPE, ProblemError, refuse
from drdd.serving.receiving import RETRY, Received

SETTING = {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "drdd.serving.proxy:middlewares"}
GONE = "the replica that had this request is gone, or none is free; send it again"


def middlewares() -> list[Middleware]:
    """Serve calls this in each proxy, before it starts the HTTP server there."""
    bound_connections()
    return layers()


def layers() -> list[Middleware]:
    """In Serve's order: the last one is the first to see a request."""
    return [
        Middleware(Explained),
        Middleware(Received),
        Middleware(Guarded, names_of_environment()),
    ]


def environment() -> dict[str, str]:
    """Of a proxy that is started from here."""
    names = os.environ.get(NAMES)
    return {**SETTING, **({NAMES: names} if names else {})}


class Explained:
    """ASGI middleware: turns Serve's own error answers into problems in JSON, as in the API.

    Serve does not answer the requests of a replica that dies, and the HTTP server makes this a 500.
    Restoring has no side effects, so such a request may be repeated: the answer is 503 with Retry-After.
    Paths of Serve itself (/-/...) are not changed.
    """

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
                    await refuse(ProblemError(503, GONE, RETRY), scope, receive, send)
            if not replaced:
                await send(message)

        await self._app(scope, receive, explained)
        if not began:
            await refuse(ProblemError(503, GONE, RETRY), scope, receive, send)


def _is_serves_own(start: Message) -> bool:
    kinds = [value for name, value in start.get("headers", []) if name.lower() == b"content-type"]
    return start["status"] in (500, 503) and not any(
        kind.startswith(MEDIA_TYPE.encode()) for kind in kinds
    )
