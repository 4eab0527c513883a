"""The Prefect server as the stack starts it: a stranger, and a page of a stranger's, start no run."""

import base64
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from infra.local import stack
from infra.local.settings import Ports, environment, free_port, load_state
from tests.conftest import ROOT
from tests.serving.screenshot import browser

pytestmark = [pytest.mark.slow, pytest.mark.gate]

# What a page may send: an order as JSON, as a form's text without asking first, and blindly.
PAGE = """<script>
async function attack(url) {
  const body = JSON.stringify({parameters: {}, job_variables: {command: "touch proof"}});
  const json = {"Content-Type": "application/json"};
  const ways = [
    {method: "POST", body, headers: json},
    {method: "POST", body, headers: {"Content-Type": "text/plain"}},
    {method: "POST", body: new Blob([body])},
    {method: "POST", body, mode: "no-cors"},
  ];
  const said = [];
  for (const way of ways) {
    try { said.push((await fetch(url, way)).status); } catch (error) { said.push("refused"); }
  }
  return said;
}
</script>"""


class Server:
    def __init__(self, root: Path, url: str, auth: str) -> None:
        self.root, self.url, self.auth = root, url, auth
        user, _, password = auth.partition(":")
        self.ours = httpx.Client(base_url=f"{url}/api", auth=(user, password), timeout=60)
        self.stranger = httpx.Client(base_url=f"{url}/api", timeout=60)
        flow = self.ours.post("/flows/", json={"name": "f"}).json()["id"]
        made = self.ours.post("/deployments/", json={"name": "d", "flow_id": flow}).json()
        self.start = f"/deployments/{made['id']}/create_flow_run"

    def runs(self) -> int:
        return int(self.ours.post("/flow_runs/count", json={}).json())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("project")
    ports = Ports(free_port(10_000), *(free_port() for _ in range(4)))
    stack.up(root, ports, ("prefect",))
    try:
        state = load_state(root)
        assert state is not None
        yield Server(root, f"http://127.0.0.1:{ports.prefect}", state.prefect_auth)
    finally:
        stack.down(root)


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """Another origin, whose page attacks."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(PAGE.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.server_address[1]}"
    finally:
        listening.shutdown()
        listening.server_close()


def test_no_page_of_another_origin_starts_a_run(server: Server, elsewhere: str) -> None:
    before, port = server.runs(), server.url.rpartition(":")[2]
    rebound = f"http://rebound.example:{port}"  # a name that has come to mean this address
    with browser("--host-resolver-rules=MAP rebound.example 127.0.0.1") as running:
        page = running.new_page()
        page.goto(elsewhere)
        said = page.evaluate("url => attack(url)", f"{server.url}/api{server.start}")
        assert said[:3] == ["refused"] * 3  # the fourth way learns nothing
        answer = page.goto(f"{rebound}/api/health")
        assert answer is not None
        assert answer.status == 400
        page.set_content(PAGE)
        said = page.evaluate("url => attack(url)", f"{rebound}/api{server.start}")
        assert set(said) <= {400, "refused"}
    assert server.runs() == before
    assert (
        server.ours.post(server.start, json={}).status_code == 201
    )  # the order itself is well-formed
    assert server.runs() == before + 1


def test_the_servers_own_page_asks_for_the_password(server: Server) -> None:
    with browser() as running:
        page = running.new_page()
        page.goto(server.url)
        password = page.locator("input[type=password]")
        password.wait_for()
        password.fill(server.auth)
        password.press("Enter")
        password.wait_for(state="detached")
        assert page.evaluate("localStorage.getItem('prefect-password')")


def test_nothing_is_told_or_done_without_the_string(server: Server) -> None:
    """Every path and method that the server's own document lists."""
    paths = server.ours.get("/openapi.json").json()["paths"]
    asked = [
        (method.upper(), re.sub(r"\{\w+\}", "00000000-0000-0000-0000-000000000000", path))
        for path, methods in paths.items()
        for method in methods
    ]
    assert len(asked) > 150
    for method, path in asked:
        status = server.stranger.request(method, path.removeprefix("/api")).status_code
        assert status == (200 if path.removeprefix("/api") in ("/health", "/ready") else 401), path
    user, _, password = server.auth.partition(":")
    for wrong in ((user, password[:-1]), (user, ""), ("", password), (user, f"{password}x")):
        assert server.stranger.get("/admin/version", auth=wrong).status_code == 401
    bearer = {"Authorization": f"Bearer {base64.b64encode(server.auth.encode()).decode()}"}
    assert server.stranger.get("/admin/version", headers=bearer).status_code == 401


@pytest.mark.parametrize("path", ["events/in", "events/out", "logs/out"])
def test_no_socket_takes_a_stranger(server: Server, path: str) -> None:
    url = f"{server.url.replace('http', 'ws')}/api/{path}"
    asked: dict[str, Any] = {"subprotocols": ["prefect"], "origin": "http://a.example"}
    with connect(url, **asked) as socket:
        socket.send('{"type": "auth", "token": "drdd:guess"}')
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=30)


@pytest.mark.parametrize("host", ["rebound.example", "rebound.example:4200", "0.0.0.0", ""])
def test_another_host_is_refused(server: Server, host: str) -> None:
    for path in ("/health", "/admin/version"):
        assert server.ours.get(path, headers={"Host": host}).status_code == 400


def test_only_its_own_page_may_read(server: Server) -> None:
    port = server.url.rpartition(":")[2]
    ask = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    for origin in ("http://a.example", "null", f"https://127.0.0.1:{port}", "http://127.0.0.1:1"):
        said = server.stranger.options(server.start, headers={"Origin": origin, **ask})
        assert said.status_code == 400
        assert "access-control-allow-origin" not in said.headers
    for origin in (server.url, f"http://localhost:{port}"):
        said = server.stranger.options(server.start, headers={"Origin": origin, **ask})
        assert said.headers["access-control-allow-origin"] == origin


def test_the_command_line_in_the_folder_needs_no_setting(server: Server) -> None:
    file = server.root / "prefect.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert server.auth in file.read_text()
    assert subprocess.run(["git", "check-ignore", "-q", "prefect.toml"], cwd=ROOT).returncode == 0
    shown = subprocess.run(
        [str(Path(sys.executable).parent / "prefect"), "deployment", "ls"],
        cwd=server.root,
        env={k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")},
        capture_output=True,
        text=True,
    )
    assert "f/d" in shown.stdout, shown.stderr
    assert environment(server.root)["PREFECT_API_AUTH_STRING"] == server.auth


def test_the_string_is_in_no_log_and_no_command_line(server: Server) -> None:
    password = server.auth.partition(":")[2].encode()
    holding = {
        str(path.relative_to(server.root))
        for path in server.root.rglob("*")
        if path.is_file() and password in path.read_bytes()
    }
    assert holding == {"prefect.toml", ".drdd/stack/state.json"}
    lines = b"".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline"))
    assert b"flows.server" in lines
    assert password not in lines


@pytest.mark.parametrize("auth", ["", "short:", "a" * 40])
def test_without_a_string_no_server_starts(auth: str) -> None:
    command = [sys.executable, "-m", "flows.server"]
    given = os.environ | {"PREFECT_API_AUTH_STRING": auth}
    done = subprocess.run(command, env=given, capture_output=True, text=True)
    assert done.returncode == 1
    assert "PREFECT_API_AUTH_STRING must be USER:PASSWORD" in done.stderr
