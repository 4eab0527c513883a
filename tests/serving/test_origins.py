"""Who may send requests to the service: programs, its own page, and no page of another origin."""

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser

from drdd.serving.http import make_api
from drdd.serving.origins import NAMES
from tests.corpora import encoded, scene
from tests.inference.blurring import Fake
from tests.serving.fakes import LIMITS, FakeService, proxied
from tests.serving.screenshot import browser

PNG = encoded(Image.fromarray(scene(0, 40, 56)), "PNG")
KEY = "a-long-random-key"
PATHS = ("/", "/v1/health", "/v1/ready", "/v1/models", "/metrics", "/docs", "/-/routes", "/no")


# --- the Host


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", ""]
)
def test_another_host_is_refused_on_every_path(url: str, host: str) -> None:
    for path in PATHS:
        answer = httpx.get(f"{url}{path}", headers={"Host": host})
        assert answer.status_code == 421, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"].endswith(
            f"add it to {NAMES} in the environment of Serve's proxy"
        )
        assert answer.json()["instance"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:9", "127.0.0.1:1", "[::1]:8000", "[::1]", "10.1.2.3", "10.1.2.3:80"],
)
def test_addresses_and_loopback_are_taken(url: str, host: str) -> None:
    assert httpx.get(f"{url}/v1/health", headers={"Host": host}).status_code == 200


def test_the_setting_names_the_service(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAMES, "restore.example.org, drdd-service-serve-svc")
    with proxied(make_api(service, LIMITS, {})) as url:
        for host in (
            "restore.example.org",
            "Restore.Example.ORG:8000",
            "drdd-service-serve-svc:8000",
        ):
            assert httpx.get(f"{url}/v1/health", headers={"Host": host}).status_code == 200
        for host in (
            "example.org",
            "a.restore.example.org",
            "restore.example.org.",
            "user@localhost",
        ):
            assert httpx.get(f"{url}/v1/health", headers={"Host": host}).status_code == 421


def test_a_request_has_one_host(url: str) -> None:
    for hosts in (b"", b"Host: localhost\r\nHost: evil.example\r\n"):
        with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0)) as client:
            client.sendall(b"GET /v1/health HTTP/1.1\r\n" + hosts + b"Connection: close\r\n\r\n")
            assert client.makefile("rb").readline().split()[1] == b"400"


# --- the origin, as a browser tells it


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},  # another port of this machine
        {
            "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
        },
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "http://[", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://["},
    ],
)
def test_a_page_of_another_origin_spends_nothing(
    url: str, service: FakeService, headers: dict[str, str]
) -> None:
    for kind in ("", "image/png", "application/x-www-form-urlencoded"):
        answer = httpx.post(
            f"{url}/v1/restore", content=PNG, headers={**headers, "Content-Type": kind}
        )
        assert answer.status_code == 403
        assert "from the service's own page or by a program" in answer.json()["detail"]
    assert not service.asked


def test_programs_and_the_own_page_are_served(url: str) -> None:
    port = urlsplit(url).port
    for headers in (
        {},
        {"Origin": f"http://127.0.0.1:{port}"},
        {"Origin": f"http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ):
        assert httpx.post(f"{url}/v1/restore", content=PNG, headers=headers).status_code == 200


def test_a_link_opens_the_page_and_nothing_is_embedded(url: str) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert httpx.get(url, headers={**link, "Sec-Fetch-Dest": "document"}).status_code == 200
    assert httpx.get(url, headers={**link, "Sec-Fetch-Dest": "iframe"}).status_code == 403
    picture = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert httpx.get(f"{url}/samples", headers=picture).status_code == 403


def test_behind_a_proxy_that_changes_the_host(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAMES, "restore.example.org")
    with proxied(make_api(service, LIMITS, {})) as url:
        ours = httpx.post(
            f"{url}/v1/restore", content=PNG, headers={"Origin": "https://restore.example.org"}
        )
    assert ours.status_code == 200


def test_headers_that_serve_obeys_are_not_passed_on() -> None:
    seen: list[set[str]] = []

    async def inner(scope: dict, receive: object, send: object) -> None:
        seen.append({name.decode() for name, _ in scope["headers"]})

    orders = (
        *("X-Request-Disconnect-Disabled", "X-Request-Timeout-Seconds", "X-Request-Id"),
        *("serve_multiplexed_model_id", "X-Session-Id"),
    )
    with proxied(inner) as url:  # type: ignore[arg-type]
        httpx.get(f"{url}/x", headers={**dict.fromkeys(orders, "?1"), "X-API-Key": KEY})
    assert seen == [{"host", "accept", "x-api-key"}]


def test_a_websocket_is_not_opened(url: str) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    headers |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Host": "evil.example"}
    assert httpx.get(f"{url}/", headers=headers).status_code == 421


# --- in a real browser


@contextmanager
def page_of_another(html: str) -> Iterator[str]:
    """A page of someone else's server; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """In which rebound.example has just come to mean this machine."""
    with browser("--host-resolver-rules=MAP rebound.example 127.0.0.1") as running:
        yield running


SIMPLE = """<form method=post enctype=multipart/form-data target=frame>
<input type=file name=image></form><iframe name=frame></iframe><script>
async function attack(service, file) {
  const body = new Blob([Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0))]);
  await fetch(service + "/v1/restore", { method: "POST", mode: "no-cors", body });
  const form = document.forms[0], files = new DataTransfer();
  files.items.add(new File([body], "a.png", { type: "image/png" }));
  form.elements.image.files = files.files;
  form.action = service + "/v1/restore";
  const loaded = new Promise((done) => { document.querySelector("iframe").onload = done; });
  form.submit();
  await loaded;
}</script>"""


@pytest.mark.slow
def test_simple_posts_of_another_page_restore_nothing(chromium: Browser) -> None:
    """No preflight is asked for either of them, and the browser sends both."""
    service = Fake()
    with proxied(service.app({})) as url, page_of_another(SIMPLE) as elsewhere:
        page = chromium.new_page()
        page.goto(elsewhere)
        answers: list[int] = []
        page.on("response", lambda answer: answers.append(answer.status))
        page.evaluate("([s, f]) => attack(s, f)", [url, base64.b64encode(PNG).decode()])
        page.close()
    assert service.asked == []
    assert answers == [403, 403]


@pytest.mark.slow
def test_a_name_that_is_rebound_shows_no_page_and_reads_nothing(chromium: Browser) -> None:
    with proxied(Fake().app({})) as url:
        page = chromium.new_page()
        answer = page.goto(f"http://rebound.example:{urlsplit(url).port}/")
        assert answer is not None
        read = page.evaluate("fetch('/v1/models').then((answer) => answer.status)")
        page.close()
    assert (answer.status, read) == (421, 421)
