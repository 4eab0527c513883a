"""The stack keeps the champion served, after a power cut and after the death of Ray."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from typer.testing import CliRunner

from drdd.cli.main import app
from drdd.registry.registry import Registry
from drdd.shown import short
from infra.doctor.finding import Site
from infra.doctor.services import service as examined
from infra.local import serving, stack
from infra.local.serving import Serving
from infra.local.settings import Ports, environment, folder, free_port
from infra.local.supervisor import is_of_stack
from tests.inference.test_engine import make_model
from tests.project import make_project, tiny_params


def _kill_everything(root: Path) -> None:
    """As a power cut: nothing can say goodbye, and nothing restarts it."""
    supervisor = int((folder(root) / "supervisord.pid").read_text())
    os.kill(supervisor, signal.SIGKILL)
    while found := [one for one in psutil.process_iter() if is_of_stack(one, root)]:
        for process in found:
            process.kill()
        psutil.wait_procs(found, timeout=10)


def _until(what: Callable[[], bool], patience_s: float = 240) -> None:
    give_up = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < give_up
        time.sleep(1)


def _settings(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(root).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project whose registry is on its stack, which is down again afterwards."""
    content = tiny_params()
    content["publish"]["registry"] = "s3://drdd/models"
    content["serve"]["follow_s"] = 0.5
    root = make_project(tmp_path / "project", content)
    monkeypatch.chdir(root)
    yield root
    stack.down(root)


def _status() -> dict[str, dict[str, str]]:
    shown = CliRunner().invoke(app, ["status", "--json"])
    return {one["name"]: one for one in json.loads(shown.stdout)["services"]}


@pytest.mark.slow
def test_after_a_power_cut_the_champion_is_served_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = Ports(free_port(10_000), *(free_port() for _ in range(4)))
    address = f"http://127.0.0.1:{ports.serve}"
    said: list[str] = []
    assert stack.up(root, ports, report=said.append).running
    assert "service: nothing is published yet" in said
    assert _status()["service"]["state"] == "idle"
    assert stack.up(root).running

    with pytest.MonkeyPatch.context() as patch:
        _settings(root, patch)
        registry = Registry.open("s3://drdd/models")
        folder = make_model(tmp_path / "model", seed=1)
        id_ = registry.publish({path.name: path for path in folder.iterdir()}, {}).id
        registry.aliases.move("champion", id_)

    _kill_everything(root)
    assert {one["state"] for one in _status().values()} == {"stopped"}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/v1/ready")

    assert stack.up(root, ports, report=said.append).running
    assert said[-1].endswith(f"champion {short(id_)}"), said
    models = httpx.get(f"{address}/v1/models", timeout=30).json()["models"]
    assert [(one["alias"], one["version"]) for one in models] == [("champion", id_)]
    found = _status()["service"]
    assert (found["state"], found["address"], found["said"]) == (
        "running",
        address,
        f"champion {short(id_)}",
    )
    assert examined(Site(root, dict(os.environ))) == f"{address} serves champion {short(id_)}"

    ray = _status()["ray"]["pid"]
    psutil.Process(int(ray)).kill()  # supervisord starts it again, without the service
    _until(lambda: _status()["service"]["state"] != "running")
    _until(lambda: _status()["service"]["state"] == "running")
    assert _status()["ray"]["pid"] != ray


@pytest.mark.parametrize(
    ("noted", "found"),
    [
        (None, Serving("starting")),
        ('{"state": "idle", "said": "nothing"}', Serving("idle", "nothing")),
        ('{"state": "failed", "said": "why"}', Serving("failed", "why")),
        ('{"state": "running", "said": "a"}', Serving("starting", "does not answer")),
        ('{"state', Serving("starting")),
        ('{"other": 1}', Serving("starting")),
        ("[]", Serving("starting")),
    ],
)
def test_a_service_that_does_not_answer_is_what_was_noted_of_it(
    tmp_path: Path, noted: str | None, found: Serving
) -> None:
    if noted is not None:
        folder(tmp_path).mkdir(parents=True)
        (folder(tmp_path) / "serving.json").write_text(noted)
    assert serving.now(tmp_path, "http://127.0.0.1:9") == found


@pytest.mark.parametrize(
    ("status", "reason", "outcome"),
    [
        (0, "", Serving("starting", "deployed")),
        (3, "", Serving("idle", "nothing is published yet")),
        (1, "a warning\nchampion: damaged\n", Serving("failed", "champion: damaged")),
        (-9, "", Serving("failed", "exit status -9")),
    ],
)
def test_how_a_deployment_went_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, reason: str, outcome: Serving
) -> None:
    done = type("Done", (), {"returncode": status, "stderr": reason})
    monkeypatch.setattr(serving.subprocess, "run", lambda *_, **__: done)
    assert serving._deployed(tmp_path) == outcome
