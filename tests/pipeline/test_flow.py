"""The whole stack, for real: the deployment is run from another shell, its results are served."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from infra.local import stack
from infra.local.settings import Ports, free_port
from tests.project import make_project, must, run, tiny_params

pytestmark = pytest.mark.slow
RUN = ("prefect", "deployment", "run", "drdd/full-pipeline", "--watch")


@dataclass(frozen=True)
class Stack:
    root: Path
    ports: Ports

    def api(self, path: str, body: dict[str, Any]) -> Any:
        answer = httpx.post(f"http://127.0.0.1:{self.ports.prefect}/api{path}", json=body)
        answer.raise_for_status()
        return answer.json()

    def last_run(self) -> Any:
        return self.api("/flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 1})[0]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A project on a stack of its own, with the pipeline run once by the Prefect CLI."""
    content = tiny_params()
    content["publish"]["registry"] = "s3://drdd/models"
    root = make_project(tmp_path_factory.mktemp("project"), content)
    ports = Ports(free_port(10_000), free_port(), free_port(), free_port())
    stack.up(root, ports)
    try:
        must(root, *RUN)
        yield Stack(root, ports)
    finally:
        stack.down(root)


def test_every_stage_was_a_task_and_the_trainings_ran_at_once(up: Stack) -> None:
    flow_run = up.last_run()
    assert flow_run["state"]["name"] == "Completed"
    tasks = up.api("/task_runs/filter", {"flow_runs": {"id": {"any_": [flow_run["id"]]}}})
    by_name = {task["name"]: task for task in tasks}
    alone = {
        "check",
        "photographs",
        "split",
        "train_noise",
        "train_residual",
        "evaluate",
        "judge",
        "publish",
        "serve",
    }
    assert set(by_name) == alone | {"ingest@nature", "prepare@haze", "prepare@noise"}
    noise, residual = by_name["train_noise"], by_name["train_residual"]
    assert noise["start_time"] < residual["end_time"]
    assert residual["start_time"] < noise["end_time"]


def test_the_run_left_its_artifacts(up: Stack) -> None:
    listed = up.api("/artifacts/latest/filter", {})
    artifacts = {artifact["key"]: artifact for artifact in listed}
    rows = json.loads(artifacts["metrics"]["data"])
    assert {row["task"] for row in rows} == {"haze", "noise"}
    gates = json.loads(artifacts["gates"]["data"])
    assert [gate["verdict"] for gate in gates] == ["passed", "passed"]
    assert artifacts["pictures"]["data"].startswith("data:image/jpeg;base64,")
    assert "s3://drdd/models/versions/" in artifacts["links"]["data"]
    assert str(up.root / "results/report.html") in artifacts["links"]["data"]


def test_the_champion_is_served_over_http(up: Stack) -> None:
    url = f"http://127.0.0.1:{up.ports.serve}"
    published = json.loads((up.root / "results/published.json").read_text())
    models = httpx.get(f"{url}/v1/models", timeout=30).json()
    (one,) = models["models"]
    assert (one["alias"], one["version"]) == ("champion", published["version"])
    assert one["tasks"] == ["haze", "noise"]
    assert set(one["metrics"]["tasks"]) == {"haze", "noise"}
    samples = httpx.get(f"{url}/samples", timeout=30).json()["samples"]
    assert samples == ["haze.jpg", "noise.jpg"]
    picture = (up.root / "data/photographs/nature/chelsea.png").read_bytes()
    answer = httpx.post(f"{url}/v1/restore", content=picture, timeout=60)
    assert answer.status_code == 200
    assert answer.headers["x-model-version"] == published["version"]
    assert Image.open(io.BytesIO(answer.content)).size == (451, 300)
    for body in (b"", b"no image", picture[:1000]):
        assert httpx.post(f"{url}/v1/restore", content=body, timeout=30).status_code == 422
    must(up.root, "drdd", "restore", "data/photographs/nature/chelsea.png", "-o", "out.png")
    with Image.open(up.root / "out.png") as ours, Image.open(io.BytesIO(answer.content)) as theirs:
        difference = np.asarray(ours, dtype=int) - np.asarray(theirs, dtype=int)
    # The command and the service may add with another number of threads.
    assert np.abs(difference).max() <= 2


def test_a_run_with_nothing_to_do_says_so(up: Stack) -> None:
    output = must(up.root, "drdd", "run")
    assert "nothing has changed: every stage is up to date" in output
    assert f"http://127.0.0.1:{up.ports.serve}" in output
    assert "report.html" in output
    assert "Data and pipelines are up to date" in must(up.root, "dvc", "repro")


def test_overrides_change_that_run_alone(up: Stack) -> None:
    before = {
        name: (up.root / name).read_bytes()
        for name in ("params.yaml", "dvc.lock", "results/metrics.json", "results/published.json")
    }
    url = f"http://127.0.0.1:{up.ports.serve}/v1/models"
    champion = httpx.get(url, timeout=30).json()["models"][0]["version"]
    must(up.root, *RUN, "-p", 'overrides=["tasks.haze.pairs=0.5"]')
    assert before == {name: (up.root / name).read_bytes() for name in before}
    models = json.loads(must(up.root, "drdd", "models", "list", "--json"))
    aliases = {alias: model["id"] for model in models for alias in model["aliases"]}
    assert aliases["champion"] == champion
    assert aliases["trial"] != champion
    assert httpx.get(url, timeout=30).json()["models"][0]["version"] == champion


def test_a_bad_override_fails_the_run_before_any_stage(up: Stack) -> None:
    done = run(up.root, *RUN, "-p", 'overrides=["tasks.haze.pars=0.5"]')
    assert done.returncode != 0
    flow_run = up.last_run()
    assert flow_run["state"]["name"] == "Failed"
    assert "tasks.haze.pairs" in flow_run["state"]["message"]
    body = {"flow_runs": {"id": {"any_": [flow_run["id"]]}}}
    assert up.api("/task_runs/filter", body) == []
