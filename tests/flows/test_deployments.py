"""prefect.yaml: what it names is there, and its parameters are the flow's own."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.flows import load_flow_from_entrypoint
from prefect.testing.utilities import prefect_test_harness

from flows import graph
from flows.register import POOL
from tests.conftest import ROOT

CONTENT = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS = {one["name"]: one for one in CONTENT["deployments"]}


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_a_deployment_can_run(name: str) -> None:
    deployment = DEPLOYMENTS[name]
    flow: Any = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    assert flow.name == ("drdd-watch" if name == "watch" else "drdd")
    given = deployment.get("parameters", {})
    required = {"version": "x"} if name == "promote" else {}
    assert flow.validate_parameters({**required, **given}) is not None
    properties = flow.parameters.properties
    assert given.keys() <= properties.keys()
    assert all(one.get("description") and one.get("title") for one in properties.values())
    assert deployment["work_pool"]["name"] == POOL


def test_all_that_was_promised_is_deployed() -> None:
    assert set(DEPLOYMENTS) == {
        "full-pipeline",
        "retrain-residual",
        "evaluate-only",
        "promote",
        "nightly",
        "watch",
    }


def test_what_has_a_schedule_is_paused() -> None:
    scheduled = {name: one["schedules"] for name, one in DEPLOYMENTS.items() if "schedules" in one}
    assert set(scheduled) == {"nightly", "watch"}
    assert not any(one["active"] for schedules in scheduled.values() for one in schedules)


@pytest.mark.parametrize("name", ["retrain-residual", "evaluate-only"])
def test_the_stages_that_are_kept_are_stages(name: str) -> None:
    parameters = DEPLOYMENTS[name]["parameters"]
    listed = {stage.name for stage in graph.stages(Path(ROOT), parameters.get("target", ""))}
    assert set(parameters["keep"]) <= listed


def test_the_server_starts_what_is_scheduled() -> None:
    """Prefect's server with the versions that are pinned: with some it is up, and schedules nothing."""
    with prefect_test_harness(server_startup_timeout=120), get_client(sync_client=True) as client:
        deployment = client.create_deployment(
            client.create_flow_from_name("drdd-watch"),
            "watch",
            schedules=[
                DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(minutes=1)))
            ],
        )
        client._client.post(f"/deployments/{deployment}/schedule", json={}).raise_for_status()
        assert client.read_flow_runs()
