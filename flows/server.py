"""`python -m flows.server`: Prefect's own server, which answers those alone who know its string.

PREFECT_API_AUTH_STRING, USER:PASSWORD, is what its clients send, and what a person types on its page. The
server answers to the names of this machine's loopback and those of DRDD_PREFECT_NAMES, separated by commas:
a page whose own name comes to mean this address (DNS rebinding) is refused by its Host header. Of pages,
only those of PREFECT_SERVER_UI_API_URL's origin may read what it says.
"""

import argparse
import os
import sys
from urllib.parse import urlsplit

AUTH, NAMES, PAGE = "PREFECT_API_AUTH_STRING", "DRDD_PREFECT_NAMES", "PREFECT_SERVER_UI_API_URL"
LOOPBACK = ("127.0.0.1", "localhost")
LEAST = 16  # characters of the string


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default=LOOPBACK[0])
    parser.add_argument("--port", type=int, default=4200)
    given = parser.parse_args()
    os.environ.update(settings(given.port))

    # From here on, because Prefect reads its settings when it is imported.
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app = TrustedHostMiddleware(create_app(final=True), allowed_hosts=names(), www_redirect=False)
    server = get_current_settings().server
    uvicorn.run(
        app,
        host=given.host,
        port=given.port,
        timeout_keep_alive=server.api.keepalive_timeout,
        ws_ping_interval=server.api.websocket_ping_interval,
        ws_ping_timeout=server.api.websocket_ping_timeout,
        log_level=server.logging_level.lower(),
    )


def settings(port: int) -> dict[str, str]:
    """The server's settings in the environment. Exits with a sentence where its string is missing."""
    auth = os.environ.get(AUTH, "")
    if ":" not in auth or len(auth) < LEAST:
        sys.exit(
            f"{AUTH} must be USER:PASSWORD, of {LEAST} characters or more: whoever knows it runs code "
            "here; make one by: echo drdd:$(openssl rand -hex 20)"
        )
    page = os.environ.get(PAGE) or f"http://{LOOPBACK[0]}:{port}/api"
    url = urlsplit(page)
    hosts = LOOPBACK if url.hostname in LOOPBACK else (url.hostname,)
    at = f":{url.port}" if url.port else ""
    return {
        PAGE: page,
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(
            f"{url.scheme}://{host}{at}" for host in hosts
        ),
    }


def names() -> list[str]:
    """The host names that are the server's own."""
    return [*LOOPBACK, *filter(None, map(str.strip, os.environ.get(NAMES, "").split(",")))]


if __name__ == "__main__":
    main()
