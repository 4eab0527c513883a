"""Who has the server's string may start runs of prefect.yaml's flows; a run brings no command."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from drdd.errors import UserError
from flows.jobs import CHOICES, POOL, checked, template_of
from infra.local import stack
from infra.local.settings import Ports, environment, free_port
from tests.conftest import ROOT

FLOW = "from pathlib import Path\nfrom prefect import flow\n@flow\ndef hello():\n    Path('ran').touch()\n"
PULL = yaml.safe_load((ROOT / "prefect.yaml").read_text())["pull"]
CONTENT = {
    "name": "toy",
    "pull": PULL,
    "deployments": [{"name": "hello", "entrypoint": "toy.hello", "work_pool": {"name": POOL}}],
}


class Site:
    def __init__(self, root: Path) -> None:
        self.root, self.settings = root, os.environ | environment(root)
        self.proof = root / "proof"
        user, _, password = self.settings["PREFECT_API_AUTH_STRING"].partition(":")
        url = self.settings["PREFECT_API_URL"]
        self._api = httpx.Client(base_url=url, auth=(user, password), timeout=60)

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        """Again while the server's database is busy (503), as Prefect's own client does."""
        give_up = time.monotonic() + 60
        while True:
            answer = self._api.request(method, path, **given)
            if answer.status_code != 503 or time.monotonic() > give_up:
                return answer
            time.sleep(0.5)

    def register(self) -> None:
        command = [sys.executable, "-m", "flows.register"]
        done = subprocess.run(
            command, cwd=self.root, env=self.settings, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    def hello(self) -> dict[str, Any]:
        answer = self.ask("GET", "/deployments/name/hello/hello")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def start(self, deployment: str, **asked: Any) -> httpx.Response:
        return self.ask("POST", f"/deployments/{deployment}/create_flow_run", json=asked)

    def started(self, deployment: str, **asked: Any) -> str:
        """The id of the run."""
        answer = self.start(deployment, **asked)
        assert answer.status_code == 201, f"{answer.status_code}: {answer.text}"
        return str(answer.json()["id"])

    def wait_for_worker(self) -> None:
        """A worker that starts sets its pool's template, which a test changes, and only then is listed."""
        give_up = time.monotonic() + 120
        while time.monotonic() < give_up:
            answer = self.ask("POST", f"/work_pools/{POOL}/workers/filter", json={})
            if answer.status_code == 200 and answer.json():
                return
            time.sleep(0.2)
        raise AssertionError(f"no worker after 120 s: {answer.text}")

    def end(self, run: str) -> tuple[str, str]:
        give_up = time.monotonic() + 120
        while time.monotonic() < give_up:
            state = self.ask("GET", f"/flow_runs/{run}").json()["state"]
            if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                break
            time.sleep(0.2)
        return state["type"], state["message"] or ""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A project of one flow, with the server and the worker of the stack."""
    root = tmp_path_factory.mktemp("project")
    (root / "toy.py").write_text(FLOW)
    (root / "prefect.yaml").write_text(yaml.safe_dump(CONTENT))
    stack.up(root, Ports(free_port(10_000), *(free_port() for _ in range(4))), ("prefect",))
    try:
        made = Site(root)
        made.register()
        with (root / "worker.log").open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "flows.jobs"],
                cwd=root,
                env=made.settings,
                stdout=log,
                stderr=log,
            )
        try:
            made.wait_for_worker()
            yield made
        finally:
            worker.terminate()
            assert worker.wait(60) == 0
    finally:
        stack.down(root)


@pytest.mark.slow
@pytest.mark.gate
def test_no_run_brings_a_command(site: Site) -> None:
    mine, touch = site.hello()["id"], f"touch {site.proof}"
    assert (
        site.start(mine, job_variables={"command": touch}).status_code == 422
    )  # the server's own word

    # Who has the string may change the server's pool and deployments, which the worker does not heed.
    names = ("env", "working_dir", "memory_limit")
    opened = {
        "job_configuration": {"command": touch, **{one: f"{{{{ {one} }}}}" for one in names}},
        "variables": {
            "type": "object",
            "properties": {**{one: {} for one in names}, "env": {"default": {"PATH": "/nowhere"}}},
        },
    }
    changed = site.ask("PATCH", f"/work_pools/{POOL}", json={"base_job_template": opened})
    assert changed.status_code == 204
    variables: list[dict[str, Any]] = [
        {"command": touch},
        {"env": {"PYTHONSTARTUP": "x"}},
        {"env.PATH": "/nowhere"},
        {"working_dir": "/"},
        {"memory_limit": "{{ prefect.blocks.secret.key }}"},
    ]
    runs = [site.started(mine, job_variables=one) for one in variables]
    shell = [{"prefect.deployments.steps.run_shell_script": {"script": touch}}]
    (site.root / "evil.py").write_text(FLOW.replace("'ran'", repr(str(site.proof))))
    ours = {"flow_id": site.hello()["flow_id"], "work_pool_name": POOL, "pull_steps": PULL}
    wrong: dict[str, dict[str, Any]] = {
        "another": {"entrypoint": "evil.hello"},
        "steps": {"entrypoint": "toy.hello", "pull_steps": shell},
        "command": {"entrypoint": "toy.hello", "job_variables": {"command": touch}},
    }
    for name, more in wrong.items():
        answer = site.ask("POST", "/deployments/", json={"name": name, **ours, **more})
        runs.append(site.started(answer.json()["id"]))
    for number, run in enumerate(runs):
        kind, said = site.end(run)
        assert kind == "CRASHED", said
        wanted = (
            "a run may choose only" if number < len(variables) else "is not that of prefect.yaml"
        )
        assert wanted in said

    # Steps of the deployment itself, until it is registered again.
    assert site.ask("PATCH", f"/deployments/{mine}", json={"pull_steps": shell}).status_code == 204
    kind, said = site.end(site.started(mine))
    assert (kind, "pull steps" in said) == ("CRASHED", True)
    site.register()
    kind, said = site.end(site.started(mine))
    assert kind == "COMPLETED", said
    assert (site.root / "ran").exists()
    assert not site.proof.exists()


def test_a_run_may_choose_resources_alone() -> None:
    assert checked({}) == {}
    given = dict(zip(CHOICES, ("1", "500m", "4Gi", "1.5G"), strict=True))
    assert checked(given) == given
    for wrong in ("4Gi\n", "-1", "{{ x }}", "", "$(id)", 4, None, ["1"]):
        with pytest.raises(UserError, match="job variables cpu_limit: a run may choose only"):
            checked({"cpu_limit": wrong})
    with pytest.raises(UserError, match="job variables command, env, image"):
        checked({"image": "x", "env": {}, "command": "id"})


def test_the_templates_offer_no_more() -> None:
    for file in (None, ROOT / "infra/kubernetes/base/job-template.json"):
        variables = template_of(file)["variables"]
        assert variables["additionalProperties"] is False
        assert set(variables["properties"]) <= set(CHOICES)
