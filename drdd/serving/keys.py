"""Access control by API keys."""

import hmac
from collections.abc import Callable
from hashlib import sha256
from typing import Annotated

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from drdd.errors import UserError
from drdd.serving.problems import ProblemError


def guard(keys: tuple[str, ...]) -> Callable[..., None]:
    """A dependency that refuses requests without one of `keys`, in constant time.

    Raises UserError for an empty key, which a request without a key would match.
    """
    if not all(keys):
        raise UserError("an API key is empty; leave it out, or write a long random one")
    digests = [sha256(key.encode()).digest() for key in keys]
    bearer, header = HTTPBearer(auto_error=False), APIKeyHeader(name="X-API-Key", auto_error=False)

    def check(
        authorization: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
        key: Annotated[str | None, Security(header)],
    ) -> None:
        given = authorization.credentials if authorization else key or ""
        # Header bytes are always decoded as Latin-1.
        digest = sha256(given.encode("latin-1", "replace")).digest()
        if sum([hmac.compare_digest(digest, one) for one in digests]) == 0:
            said = "send a key: `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            raise ProblemError(401, said, {"WWW-Authenticate": "Bearer"})

    return check
