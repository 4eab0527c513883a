"""Access control by API keys."""

import base64
import binascii
import hmac
from collections.abc import Callable, Collection
from hashlib import sha256
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from drdd.errors import UserError
from drdd.serving.problems import ProblemError, refuse

SAID = "send a key: `Authorization: Bearer KEY` or `X-API-Key: KEY`"


class Keys:
    """The keys of the service.

    Raises UserError for an empty one, which a request without a key would match.
    """

    def __init__(self, keys: Collection[str]) -> None:
        if not all(keys):
            raise UserError("an API key is empty; leave it out, or write a long random one")
        self._digests = [sha256(key.encode()).digest() for key in keys]

    def hold(self, given: str) -> bool:
        """Whether this is one of them, in constant time."""
        # Header bytes are always decoded as Latin-1.
        digest = sha256(given.encode("latin-1", "replace")).digest()
        return sum([hmac.compare_digest(digest, one) for one in self._digests]) > 0

    def guard(self) -> Callable[..., None]:
        """A dependency that refuses requests without a key; `state.owner` is then the key's SHA-256."""
        bearer = HTTPBearer(auto_error=False)
        header = APIKeyHeader(name="X-API-Key", auto_error=False)

        def check(
            request: Request,
            authorization: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
            key: Annotated[str | None, Security(header)],
        ) -> None:
            given = authorization.credentials if authorization else key or ""
            if not self.hold(given):
                raise ProblemError(401, SAID, {"WWW-Authenticate": "Bearer"})
            request.state.owner = sha256(given.encode("latin-1", "replace")).hexdigest()

        return check


class KeyedPages:
    """ASGI middleware: pages for people, which need a key. A browser asks for it as a password."""

    def __init__(self, app: ASGIApp, keys: Keys, paths: Collection[str]) -> None:
        self._app, self._keys, self._paths = app, keys, frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        closed = scope["type"] == "http" and path in self._paths
        if not closed or self._keys.hold(_given(Headers(scope=scope))):
            await self._app(scope, receive, send)
            return
        said = f"{SAID}, or the key as the password of a browser"
        headers = {"WWW-Authenticate": 'Basic realm="drdd: the key is the password"'}
        await refuse(ProblemError(401, said, headers), scope, receive, send)


def _given(headers: Headers) -> str:
    """The key of a request, "" without one."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode("latin-1").partition(":")[2]
        except binascii.Error:
            return ""
    return headers.get("x-api-key", "")
