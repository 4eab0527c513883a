"""The stack's Ray, as whoever has no token finds it: job submission, the dashboard, Ray's client."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.local import stack
from infra.local.settings import (
    Ports,
    StackState,
    environment,
    free_port,
    load_state,
    ray_folder,
    ray_token,
)
from tests.strangers import as_nobody, reachable_by_nobody, tokenless_python

CLIENT = """
import sys, ray
try:
    ray.init(sys.argv[1], logging_level="ERROR", log_to_driver=False)
except Exception as error:
    print("refused", type(error).__name__, " ".join(str(error).split())[:300])
else:
    print("joined", ray.get(ray.remote(lambda: 7).remote()))
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("ray")
    ports = Ports(*(free_port() for _ in range(5)))
    stack.up(root, ports, ("ray",))
    yield root
    stack.down(root)


@pytest.fixture
def state(root: Path) -> StackState:
    state = load_state(root)
    assert state is not None
    return state


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/jobs/"),
        ("GET", "/api/jobs/"),
        ("GET", "/api/version"),
        ("GET", "/nodes?view=summary"),
        ("GET", "/api/v0/logs/file?node_ip=127.0.0.1&filename=raylet.out"),
        ("PUT", "/api/serve/applications/"),
        ("DELETE", "/api/serve/applications/"),
        ("GET", "/worker/traceback?pid=1"),
        ("GET", "/timezone"),
    ],
)
@pytest.mark.parametrize("place", ["dashboard", "agent"])
def test_an_address_of_the_dashboard_needs_the_token(
    state: StackState, root: Path, place: str, method: str, path: str, tmp_path: Path
) -> None:
    port = {"dashboard": state.ports.dashboard, "agent": state.hidden["ray_agent"]}[place]
    job = {"entrypoint": f"touch {tmp_path}/ran"}

    def asked(**headers: str) -> int:
        url = f"http://127.0.0.1:{port}{path}"
        return httpx.request(method, url, json=job, headers=headers, timeout=60).status_code

    assert asked() == 401
    assert asked(Authorization="Bearer guess") == 403
    assert asked(Cookie="ray-authentication-token=guess") == 403
    assert not (tmp_path / "ran").exists()
    if (place, path) == ("dashboard", "/api/version"):
        assert asked(Authorization=f"Bearer {ray_token(root).read_text()}") == 200


@pytest.mark.parametrize("address", ["127.0.0.1:{ray}", "ray://127.0.0.1:{client}"])
def test_nothing_runs_on_the_stack_without_its_token(
    root: Path, state: StackState, address: str
) -> None:
    address = address.format(ray=state.ports.ray, client=state.hidden["ray_client"])
    for mode in (
        {"RAY_AUTH_MODE": "disabled"},
        {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "guess"},
    ):
        said = tokenless_python(CLIENT, address, **mode)
        assert "joined" not in said
        assert "refused" in said, said
    if not address.startswith("ray://"):  # a loaded machine starts its helper too late
        mine = subprocess.run(
            [sys.executable, "-c", CLIENT, address],
            env=os.environ | environment(root) | {"RAY_ADDRESS": ""},
            capture_output=True,
            text=True,
        )
        assert mine.stdout == "joined 7\n", mine.stderr


@as_nobody
def test_another_user_finds_no_file_of_the_stack(root: Path) -> None:
    assert list(ray_folder(root).glob("session_*/sockets/*"))
    for folder in (ray_folder(root), root / ".drdd"):
        folder = folder.resolve()
        assert not [path for path in reachable_by_nobody(folder) if Path(path) != folder]
    assert ray_token(root).stat().st_mode & 0o777 == 0o600
    configuration = json.dumps(environment(root))
    assert ray_token(root).read_text() not in configuration
