"""Which requests reach Serve at all: for this service by name, and of no other origin's page.

A page anywhere may make its reader's browser send requests to this service. It cannot read the answers,
unless its own name comes to mean this service's address (DNS rebinding); the Host header then holds that
name. Programs that are no browsers send neither Origin nor Sec-Fetch-Site, and are let through.
"""

import ipaddress
import os
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from drdd.serving.problems import ProblemError, refuse

NAMES = "DRDD_SERVE_NAMES"  # the setting: host names of the service, separated by commas
LOOPBACK = "localhost"
HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^\[\]:@/\s]+)(?P<port>:\d{1,5})?")
READS = ("GET", "HEAD")

# What the API reads. Serve reads others as orders to itself: x-request-disconnect-disabled, for one, makes
# it restore for a client that has left.
PASSED = {
    *(b"accept", b"authorization", b"content-length", b"content-type", b"host"),
    *(b"if-modified-since", b"if-none-match", b"transfer-encoding", b"x-api-key"),
}


class Guarded:
    """ASGI middleware: refuses what was not meant for this service; names: host names of the service.

    IP addresses and localhost are always taken: no name server has a say in them, so that no page can make
    them mean something else. The port is of no account, since it may be forwarded from any other.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self._app, self._names = app, {LOOPBACK, *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        else:
            try:
                self._check(scope["method"], Headers(scope=scope))
            except ProblemError as error:
                await refuse(error, scope, receive, send)
            else:
                passed = [header for header in scope["headers"] if header[0] in PASSED]
                await self._app({**scope, "headers": passed}, receive, send)

    def _check(self, method: str, headers: Headers) -> None:
        """Raises ProblemError: 400 or 421 for the Host, 403 for the origin."""
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            raise ProblemError(400, f"the request has {len(hosts)} Host headers; send one")
        if not self._ours(hosts[0]):
            raise ProblemError(
                421,
                f"this service does not answer to the host {hosts[0][:100]!r}; if that is its name, add it "
                f"to {NAMES} in the environment of Serve's proxy",
            )
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if site is None:  # no browser, an old one, or a plain http:// address that is not loopback
            foreign = origin is not None and not self._same(origin, hosts[0])
        else:
            foreign = site not in ("same-origin", "none") and not _is_link(method, headers)
        if foreign:
            said = f"the page of another origin ({(origin or site or '')[:100]})"
            raise ProblemError(
                403,
                f"{said} sent this request; send it from the service's own page or by a program",
            )

    def _ours(self, host: str) -> bool:
        found = HOST.fullmatch(host)
        if found is None:
            return False
        return _is_address(found["name"]) or found["name"].lower() in self._names

    def _same(self, origin: str, host: str) -> bool:
        """Whether a page of `origin` is the service's own. A reverse proxy may have changed the Host."""
        try:
            parts = urlsplit(origin)
            return bool(parts.netloc) and (
                parts.netloc.lower() == host.lower()
                or (parts.hostname in self._names and parts.hostname != LOOPBACK)
            )
        except ValueError:
            return False


def names_of_environment() -> list[str]:
    """The host names in NAMES."""
    return [name for part in os.environ.get(NAMES, "").split(",") if (name := part.strip())]


def _is_link(method: str, headers: Headers) -> bool:
    """Whether someone follows a link to the service, which opens it in a tab of its own."""
    how = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
    return method in READS and how == ("navigate", "document")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
