"""The service as Serve's config file names it. Only the slow test starts Ray."""

import re
import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from ray import serve
from ray.serve._private import api
from ray.serve.config import HTTPOptions
from ray.serve.schema import ApplicationStatus, ServeDeploySchema

from drdd.cluster.session import QUIET, ray_cluster
from drdd.errors import UserError
from drdd.params import load
from drdd.registry.registry import Registry
from drdd.serving.deployed import Arguments, application, setup_of
from drdd.serving.published import FromRegistry
from infra.local.settings import free_port
from tests.conftest import ROOT
from tests.inference.test_engine import make_model

build: Any = api.call_user_app_builder_with_args_if_necessary


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DRDD_REGISTRY", "DRDD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def test_the_service_is_what_params_say(project: Path) -> None:
    setup = setup_of(Arguments(project=project, overrides=["serve.replicas=3"]))
    assert setup.settings == load(ROOT / "params.yaml", ["serve.replicas=3"]).serve
    assert setup.source == FromRegistry("s3://drdd/models", project)
    assert setup.environment == {}


def test_the_environment_names_project_and_registry(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRDD_PROJECT", str(project))
    monkeypatch.setenv("DRDD_REGISTRY", "s3://other/models")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-node-alone")
    setup = setup_of(Arguments())
    assert setup.source == FromRegistry("s3://other/models", project)
    assert setup.environment == {}


def test_serve_builds_it_from_a_file_of_its_own(project: Path) -> None:
    built = build(application, {"project": str(project), "overrides": ["serve.gpus=1"]})
    assert built._bound_deployment.name == "Replica"
    assert built._bound_deployment.ray_actor_options == {"num_cpus": 0, "num_gpus": 1.0}
    assert built._bound_deployment._deployment_config.max_constructor_retry_count > 1000


def test_what_cannot_be_is_refused(project: Path) -> None:
    with pytest.raises(ValueError, match="registri"):
        build(application, {"registri": "s3://typo"})
    with pytest.raises(UserError, match=r"serve\.replicas"):
        build(application, {"project": str(project), "overrides": ["serve.replicas=0"]})
    with pytest.raises(UserError, match=r"serve\.api_keys"):
        build(application, {"project": str(project), "overrides": ["serve.api_keys=missing"]})


@pytest.mark.parametrize("place", ["kubernetes/base/kustomization.yaml", "containers/compose.yaml"])
def test_serve_is_as_patient_wherever_the_service_is_deployed(place: str) -> None:
    name = "RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT"
    assert re.search(rf'{name}(=|: "){QUIET[name]}\b', (ROOT / "infra" / place).read_text())


@pytest.mark.slow
def test_replicas_come_once_a_first_version_is_published(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the config file on, as KubeRay does it."""
    port = free_port()
    registry = Registry.open(str(project / "registry"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("DRDD_REGISTRY", str(project / "registry"))
    one: dict[str, Any] = {"name": "drdd", "import_path": "drdd.serving.deployed:application"}
    one |= {"args": {"project": str(project), "overrides": ["serve.threads=1"]}}
    config = ServeDeploySchema.model_validate({"applications": [one]})
    with ray_cluster(cpus=1):
        serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port))
        client: Any = serve.context._get_global_client()
        client.deploy_apps(config)
        time.sleep(15)
        assert serve.status().applications["drdd"].status == ApplicationStatus.DEPLOYING
        files: dict[str, Path | bytes] = {
            path.name: path for path in make_model(project / "first", 1).iterdir()
        }
        version = registry.publish(files, {})
        registry.aliases.move("champion", version.id)
        give_up = time.monotonic() + 120
        while serve.status().applications["drdd"].status != ApplicationStatus.RUNNING:
            assert time.monotonic() < give_up, serve.status()
            time.sleep(0.5)
        models = httpx.get(f"http://127.0.0.1:{port}/v1/models", timeout=30).json()["models"]
        assert [each["version"] for each in models] == [version.id]
