"""The launcher's file for AWS, by Ray's own schema and defaults. Nothing is started or called."""

import shlex
import subprocess
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.conftest import ROOT
from tests.infra.commands import demand_runnable

FILE = ROOT / "infra/ray/cluster-aws.yaml"
COMMANDS = ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands")


@pytest.fixture
def cluster() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


def test_ray_takes_it(cluster: dict[str, Any]) -> None:
    prepared = prepare_config(cluster)
    validate_config(prepared)
    kinds = prepared["available_node_types"]
    assert set(kinds) == {"head", "cpu", "gpu"}
    assert kinds["gpu"]["resources"] == {"CPU": 4, "GPU": 1}


def test_ray_refuses_what_it_does_not_know(cluster: dict[str, Any]) -> None:
    cluster["idle_timeout"] = 5
    with pytest.raises(Exception, match="idle_timeout"):
        validate_config(cluster)


def test_machines_have_a_role_and_no_keys(cluster: dict[str, Any]) -> None:
    for kind in cluster["available_node_types"].values():
        assert kind["node_config"]["IamInstanceProfile"]
    assert "SECRET" not in FILE.read_text().upper()


@pytest.mark.parametrize("name", COMMANDS)
def test_its_commands_can_be_run(cluster: dict[str, Any], name: str) -> None:
    for line in cluster[name]:
        subprocess.run(["bash", "-n", "-c", line], check=True)
        if "ray start" in line:
            words = shlex.split(line)
            demand_runnable(["ray", *words[words.index("start") :]])


def test_every_machine_has_the_token_and_asks_for_it(cluster: dict[str, Any]) -> None:
    assert list(cluster["file_mounts"]) == ["/home/ubuntu/.ray/auth_token"]
    starts = [line for name in COMMANDS for line in cluster[name] if "ray start" in line]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token " in line for line in starts)
