"""A site of seven machines: two lose their links or processes in the middle of a run, which ends well.

Each machine is a set of namespaces with its own address: Ray's head, two workers, the object store,
the Prefect server, and the desk, which has the project and runs the flow.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.local.settings import quiet_environment
from tests.nodes import CAN_BE_MADE, RAY, Cluster, Node, cluster, wait_for
from tests.project import make_project, tiny_params

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not CAN_BE_MADE, reason="nodes need root, namespaces and iproute2"),
]
PORT = 4200
AUTH = "drdd:of-seven-machines"
BATCH, IMAGES = 12, 4800
STORE_AWAY_S = 20
SERVER_AWAY_S = 10
ASK = (
    "import httpx, os, sys; method, url, body = sys.argv[1:]; "
    "auth = tuple(os.environ['PREFECT_API_AUTH_STRING'].split(':')); "
    "print(httpx.request(method, url, content=body or None, auth=auth, timeout=20).text)"
)


def _params() -> dict[str, Any]:
    content = tiny_params()
    content["publish"]["registry"] = "s3://drdd/models"
    for stage in ("noise", "residual"):
        content["train"][stage] |= {
            "images": IMAGES,
            "batch": BATCH,
            "workers": 2 if stage == "noise" else 1,
            "min_workers": 1,
            "checkpoint_every": 20 * BATCH,
        }
    return content


@dataclass
class Site:
    """The machines, by what they do."""

    machines: Cluster
    store: Node
    prefect: Node
    desk: Node
    server: "subprocess.Popen[bytes]"

    @property
    def project(self) -> Path:
        return self.machines.project

    def api(self, method: str, path: str, body: object = None) -> Any:
        url = f"http://{self.prefect.address}:{PORT}/api{path}"
        sent = "" if body is None else json.dumps(body)
        answer = self.on_the_desk("python", "-c", ASK, method, url, sent)
        return json.loads(answer.strip().splitlines()[-1])

    def on_the_desk(self, *command: str) -> str:
        process = self.machines.begin(self.desk, *command, folder=self.project, log="desk.log")
        process.wait()
        output = (self.desk.folder / "desk.log").read_text()
        assert process.returncode == 0, output
        return output

    def start_server(self) -> "subprocess.Popen[bytes]":
        log = self.prefect.folder / "server.log"
        process = self.machines.begin(
            self.prefect,
            *("python", "-m", "flows.server", "--host", "0.0.0.0", "--port", str(PORT)),
            folder=Path("/"),
            log=log.name,
            PREFECT_HOME=str(self.prefect.folder / "prefect"),
            DRDD_PREFECT_NAMES=self.prefect.address,
        )
        wait_for(lambda: "Uvicorn running" in log.read_text() or self._answers(), process, log)
        return process

    def _answers(self) -> bool:
        try:
            return bool(self.api("GET", "/health"))
        except (AssertionError, json.JSONDecodeError):
            return False


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    project = make_project(tmp_path_factory.mktemp("project"), _params())
    with cluster(project, apart=True) as machines:
        store, prefect = machines.nodes[1], machines.node(project)
        for _ in range(2):
            machines.add(cpus=2)
        desk = machines.node()
        machines.settings |= quiet_environment() | RAY
        machines.settings |= {
            "PREFECT_API_URL": f"http://{prefect.address}:{PORT}/api",
            "PREFECT_API_AUTH_STRING": AUTH,
            "PREFECT_HOME": str(desk.folder / "prefect"),
            "DRDD_PROJECT": str(project),
            "DRDD_NODE_IP": desk.address,
        }
        made = Site(machines, store, prefect, desk, None)  # type: ignore[arg-type]
        made.server = made.start_server()
        worker = machines.begin(
            desk,
            *("python", "-m", "infra.joined", "python", "-m", "flows.worker"),
            folder=project,
            log="worker.log",
        )
        ready = "/deployments/name/drdd/full-pipeline"
        wait_for(
            lambda: made.api("GET", ready).get("status") == "READY",
            worker,
            desk.folder / "worker.log",
        )
        yield made


def _done(site: Site, run: str, stage: str) -> int:
    path = site.project / f".drdd/runs/{run}/.drdd/progress/{stage}.json"
    try:
        return int(json.loads(path.read_text())["done"])
    except (FileNotFoundError, json.JSONDecodeError):
        return 0


def _until(true: Callable[[], bool], patience_s: float) -> None:
    give_up = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.2)


def test_a_run_survives_the_loss_of_a_link_the_server_and_the_store(site: Site) -> None:
    started = site.on_the_desk("prefect", "deployment", "run", "drdd/full-pipeline")
    assert "Created flow run" in started
    run = site.api("POST", "/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", "limit": 1})[0]
    identity = run["id"]

    _until(lambda: _done(site, identity, "train_noise") >= IMAGES // 4, 400)
    reached = _done(site, identity, "train_noise")
    lost = next(node for node in site.machines.nodes if node.train_workers())
    site.machines.cut(lost)
    _until(lambda: _done(site, identity, "train_noise") > reached + 20 * BATCH, 300)

    for process in site.prefect.processes():
        if process.pid != site.prefect.first.pid:
            process.kill()
    site.server.wait()
    time.sleep(SERVER_AWAY_S)
    site.server = site.start_server()

    server, command, folder = site.machines.s3
    for process in site.store.processes():
        if process.pid != site.store.first.pid:
            process.kill()
    server.wait()
    time.sleep(STORE_AWAY_S)
    site.machines.run_s3(site.store, command, folder)

    state: dict[str, Any] = {}
    give_up = time.monotonic() + 900
    while state.get("type") not in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
        assert time.monotonic() < give_up, state
        time.sleep(2)
        state = site.api("GET", f"/flow_runs/{identity}")["state"]
    assert state["type"] == "COMPLETED", state
    assert lost.first.is_running()  # it was cut off, not ended
    verified = site.on_the_desk("drdd", "models", "verify", "champion")
    assert "every hash verified" in verified, verified
