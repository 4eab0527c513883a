"""The whole stack, for real: the deployment is run from another shell, its results are served."""

import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from infra.local import stack
from infra.local.settings import Ports, free_port, load_state, ray_token
from tests.project import make_project, must, run, tiny_params

pytestmark = pytest.mark.slow
RUN = ("prefect", "deployment", "run", "drdd/full-pipeline", "--watch")


@dataclass(frozen=True)
class Stack:
    root: Path
    ports: Ports

    def api(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """POST with a body, else GET, as the stack's own user."""
        state = load_state(self.root)
        assert state is not None
        user, _, password = state.prefect_auth.partition(":")
        answer = httpx.request(
            "GET" if body is None else "POST",
            f"http://127.0.0.1:{self.ports.prefect}/api{path}",
            json=body,
            auth=(user, password),
            timeout=30,
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def last_run(self) -> Any:
        return self.api("/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", "limit": 1})[0]

    def state(self, run: str) -> Any:
        return self.api(f"/flow_runs/{run}")["state"]

    def folder(self, run: str) -> Path:
        return self.root / ".drdd/runs" / run

    def artifacts(self, run: str) -> dict[str, Any]:
        asked = {"flow_runs": {"id": {"any_": [run]}}, "sort": "CREATED_DESC"}
        return {one["key"]: one["data"] for one in self.api("/artifacts/filter", asked)}

    def stage_processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["cmdline", "cwd"]):
            line = " ".join(process.info["cmdline"] or [])
            if "drdd.stages" in line and str(process.info["cwd"]).startswith(str(self.root)):
                found.append(process)
        return found

    def starts_training(self, run: str, images: int) -> None:
        """Returns when the noise stage has come so far."""
        path = self.folder(run) / ".drdd/progress/train_noise.json"
        while not path.exists() or json.loads(path.read_text())["done"] < images:
            assert self.state(run)["type"] in ("SCHEDULED", "PENDING", "RUNNING"), self.state(run)
            time.sleep(0.2)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A project on a stack of its own, with the pipeline run once by the Prefect CLI."""
    content = tiny_params()
    content["publish"]["registry"] = "s3://drdd/models"
    root = make_project(tmp_path_factory.mktemp("project"), content)
    ports = Ports(free_port(10_000), *(free_port() for _ in range(4)))
    stack.up(root, ports)
    try:
        must(root, *RUN)
        yield Stack(root, ports)
    finally:
        stack.down(root)


@pytest.fixture(scope="module")
def first(up: Stack) -> str:
    return str(up.last_run()["id"])


@pytest.mark.gate
def test_every_stage_was_a_task_and_the_trainings_ran_at_once(up: Stack, first: str) -> None:
    assert up.state(first)["name"] == "Completed"
    runs = up.api("/task_runs/filter", {"flow_runs": {"id": {"any_": [first]}}})
    by_name = {task["name"]: task for task in runs}
    alone = {
        "check",
        "photographs",
        "split",
        "train_noise",
        "train_residual",
        "evaluate",
        "compare",
        "judge",
        "publish",
        "serve",
    }
    tasks = {"prepare@haze", "prepare@noise", "references@haze", "references@noise"}
    assert set(by_name) == alone | tasks | {"ingest@nature"}
    noise, residual = by_name["train_noise"], by_name["train_residual"]
    assert noise["start_time"] < residual["end_time"]
    assert residual["start_time"] < noise["end_time"]


@pytest.mark.gate
def test_the_run_left_its_artifacts(up: Stack, first: str) -> None:
    artifacts = up.artifacts(first)
    rows = json.loads(artifacts["metrics"])
    assert {row["task"] for row in rows} == {"haze", "noise"}
    gates = json.loads(artifacts["gates"])
    assert [gate["verdict"] for gate in gates] == ["passed", "passed"]
    assert artifacts["pictures"].startswith("data:image/jpeg;base64,")
    assert "s3://drdd/models/versions/" in artifacts["links"]
    assert str(up.folder(first) / "results/report.html") in artifacts["links"]
    dashboard = f"http://127.0.0.1:{up.ports.dashboard}"
    assert f"{dashboard}/#/jobs/" in artifacts["ray-job"]
    job = artifacts["ray-job"].split("/#/jobs/")[1].split(")")[0]
    known = {"Authorization": f"Bearer {ray_token(up.root).read_text()}"}
    listed = httpx.get(f"{dashboard}/api/jobs/", headers=known, timeout=30).json()
    assert job in {one["job_id"] for one in listed}


@pytest.mark.gate
def test_what_stages_say_is_the_log_of_the_run(up: Stack, first: str) -> None:
    asked = {"logs": {"flow_run_id": {"any_": [first]}}, "limit": 200}
    said = "\n".join(one["message"] for one in up.api("/logs/filter", asked))
    assert "640/640 images" in said
    assert "alias champion moved" in said


@pytest.mark.gate
def test_the_run_touched_no_file_of_the_user_and_is_an_experiment(up: Stack, first: str) -> None:
    assert must(up.root, "git", "status", "--porcelain") == ""
    assert not (up.root / "results").exists()
    (name,) = must(up.root, "dvc", "exp", "list", "--name-only").split()
    must(up.root, "dvc", "exp", "apply", "-q", name)
    assert "Data and pipelines are up to date" in must(up.root, "dvc", "repro")
    report = (up.root / "results/report.html").read_bytes()
    assert report == (up.folder(first) / "results/report.html").read_bytes()
    must(up.root, "git", "add", "dvc.lock")
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    must(up.root, "git", *identity, "commit", "-qm", "what the run made")


@pytest.mark.gate
def test_the_champion_is_served_over_http(up: Stack, first: str) -> None:
    url = f"http://127.0.0.1:{up.ports.serve}"
    published = json.loads((up.folder(first) / "results/published.json").read_text())
    models = httpx.get(f"{url}/v1/models", timeout=30).json()
    (one,) = models["models"]
    assert (one["alias"], one["version"]) == ("champion", published["version"])
    assert one["tasks"] == {"haze": {"scale": 1}, "noise": {"scale": 1}}
    assert set(one["metrics"]["tasks"]) == {"haze", "noise"}
    samples = httpx.get(f"{url}/samples", timeout=30).json()["samples"]
    assert samples == ["haze.jpg", "noise.jpg"]
    path = up.folder(first) / "data/photographs/nature/chelsea.png"
    picture = path.read_bytes()
    answer = httpx.post(f"{url}/v1/restore", content=picture, timeout=60)
    assert answer.status_code == 200
    assert answer.headers["x-model-version"] == published["version"]
    assert Image.open(io.BytesIO(answer.content)).size == (451, 300)
    for body in (b"", b"no image", picture[:1000]):
        assert httpx.post(f"{url}/v1/restore", content=body, timeout=30).status_code == 422
    must(up.root, "drdd", "restore", str(path), "-o", "out.png")
    with Image.open(up.root / "out.png") as ours, Image.open(io.BytesIO(answer.content)) as theirs:
        difference = np.asarray(ours, dtype=int) - np.asarray(theirs, dtype=int)
    (up.root / "out.png").unlink()
    # The command and the service may add with another number of threads.
    assert np.abs(difference).max() <= 2


def test_a_run_with_nothing_to_do_says_so(up: Stack) -> None:
    output = must(up.root, "drdd", "run")
    assert "nothing has changed: every stage is up to date" in output
    assert f"http://127.0.0.1:{up.ports.serve}" in output
    assert "report.html" in output


def test_overrides_change_that_run_alone(up: Stack) -> None:
    """A sweep of one, whose webhook is told; and its version is promoted afterwards."""
    url = f"http://127.0.0.1:{up.ports.serve}/v1/models"
    champion = httpx.get(url, timeout=30).json()["models"][0]["version"]
    with _webhook() as (address, told):
        must(up.root, "drdd", "notify", address)
        must(up.root, "drdd", "sweep", "tasks.haze.pairs=0.5")
        trial = up.last_run()
        _until(lambda: bool(told), 60)
        must(up.root, "drdd", "notify", "-")
    assert (told[0]["run"], told[0]["state"]) == (trial["name"], "Completed")
    assert must(up.root, "git", "status", "--porcelain") == ""
    (page,) = (up.root / ".drdd/sweeps").glob("*/index.html")
    assert "<svg" in page.read_text()
    published = json.loads((up.folder(trial["id"]) / "results/published.json").read_text())
    assert published["against"] == champion
    models = json.loads(must(up.root, "drdd", "models", "list", "--json"))
    assert {alias: one["id"] for one in models for alias in one["aliases"]} == {
        "champion": champion
    }
    assert httpx.get(url, timeout=30).json()["models"][0]["version"] == champion
    said = must(
        up.root,
        *("prefect", "deployment", "run", "drdd/promote", "--watch"),
        *("-p", f"version={published['version']}"),
    )
    assert "Completed" in said
    _until(
        lambda: httpx.get(url, timeout=30).json()["models"][0]["version"] == published["version"],
        60,
    )


def test_a_bad_override_fails_the_run_before_any_stage(up: Stack) -> None:
    done = run(up.root, *RUN, "-p", 'overrides=["tasks.haze.pars=0.5"]')
    assert done.returncode != 0
    flow_run = up.last_run()
    assert flow_run["state"]["name"] == "Failed"
    assert "tasks.haze.pars: unknown key, did you mean 'pairs'" in flow_run["state"]["message"]
    body = {"flow_runs": {"id": {"any_": [flow_run["id"]]}}}
    assert up.api("/task_runs/filter", body) == []


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_cancelled_run_ends_its_stages_and_a_lost_one_goes_on(up: Stack) -> None:
    """The second run goes on from the first one's checkpoint; its processes are killed, all of them."""
    wanted = 'overrides=["train.noise.images=16000","train.residual.images=640"]'
    start = ("prefect", "deployment", "run", "drdd/full-pipeline", "-p", wanted)
    must(up.root, *start, "-p", "target=train_noise")
    cancelled = up.last_run()["id"]
    up.starts_training(cancelled, 1000)
    body = {"state": {"type": "CANCELLING"}}
    assert up.api(f"/flow_runs/{cancelled}/set_state", body)["status"] == "ACCEPT"
    _until(lambda: not up.stage_processes(), 30)
    _until(lambda: up.state(cancelled)["name"] == "Cancelled", 60)
    assert list((up.root / ".drdd/checkpoints").glob("noise-*/*.json"))

    must(up.root, *start, "-p", "target=train_noise")
    lost = up.last_run()["id"]
    up.starts_training(lost, 1000)
    log = up.folder(lost) / ".drdd/logs/train_noise.log"
    reached = [int(n) for n in re.findall(r"train_noise  (\d+)/16000", log.read_text())]
    assert not reached or reached[0] > 240  # it did not begin anew
    worker = next(one for one in stack.status(up.root).services if one.name == "worker")
    assert worker.pid is not None
    for process in [
        *psutil.Process(worker.pid).children(recursive=True),
        psutil.Process(worker.pid),
    ]:
        process.kill()
    _until(lambda: up.state(lost)["name"] == "AwaitingRetry" or _took_up(up, lost), 240)
    _until(lambda: up.state(lost)["type"] == "COMPLETED", 300)


def test_no_key_is_anywhere_but_where_it_belongs(up: Stack) -> None:
    state = load_state(up.root)
    assert state is not None
    kept = up.root / ".drdd/stack/state.json"
    allowed = {
        state.secret_key: {
            kept,
            up.root / ".drdd/stack/s3/s3.json",
            up.root / ".dvc/config.local",
        },
        state.prefect_auth: {kept, up.root / "prefect.toml"},
    }
    for secret, files in allowed.items():
        holding = {
            path
            for path in up.root.rglob("*")
            if path.is_file() and not path.is_symlink() and secret.encode() in path.read_bytes()
        }
        assert holding == files


def _took_up(up: Stack, run: str) -> bool:
    return bool(up.api(f"/flow_runs/{run}")["run_count"] > 1)


def _until(true: Callable[[], bool], patience_s: float) -> None:
    give_up = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.2)


@contextmanager
def _webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A real server, and what was POSTed to it."""
    told: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/told", told
    finally:
        server.shutdown()
