"""The service as Serve's config file names it. Only the slow test starts Ray."""

import re
import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from ray import serve
from ray.serve._private import api
from ray.serve.config import HTTPOptions
from ray.serve.schema import ApplicationStatus, ServeDeploySchema

from drdd.cluster.connection import QUIET, ray_cluster
from drdd.errors import UserError
from drdd.params import load
from drdd.registry.registry import Registry
from drdd.serving.deployed import Arguments, application, setup_of
from drdd.serving.origins import NAMES
from drdd.serving.proxy import SETTING
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


def _environments() -> list[dict[str, str]]:
    """What the pods of each group of the RayService have of Serve's proxy."""
    base = ROOT / "infra/kubernetes/base"
    cluster = yaml.safe_load((base / "ray-service.yaml").read_text())["spec"]["rayClusterConfig"]
    settings = yaml.safe_load((base / "kustomization.yaml").read_text())["configMapGenerator"][0]
    shared = dict(literal.split("=", 1) for literal in settings["literals"])
    found = []
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        assert {"configMapRef": {"name": settings["name"]}} in container["envFrom"]
        own = {one["name"]: one["value"] for one in container["env"] if one["name"] in SETTING}
        found.append({NAMES: shared[NAMES], **own})
    return found


def test_every_proxy_of_kubernetes_has_the_middleware_and_knows_the_services_name() -> None:
    names = {one[NAMES] for one in _environments()}
    assert [one.items() >= SETTING.items() for one in _environments()] == [True, True]
    job = (ROOT / "infra/kubernetes/base/job-template.json").read_text()
    (address,) = re.findall(r'"DRDD_SERVICE", "value": "http://([^":]+):8000"', job)
    assert address in names.pop().split(",")


@pytest.mark.slow
def test_replicas_come_once_a_first_version_is_published(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the config file on, as KubeRay does it."""
    port = free_port()
    registry = Registry.open(str(project / "registry"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("DRDD_REGISTRY", str(project / "registry"))
    for name, value in _environments()[0].items():
        monkeypatch.setenv(name, value)
    one: dict[str, Any] = {"name": "drdd", "import_path": "drdd.serving.deployed:application"}
    one |= {"args": {"project": str(project), "overrides": ["serve.threads=1"]}}
    config = ServeDeploySchema.model_validate({"applications": [one]})
    with ray_cluster(cpus=1):
        serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port))
        client: Any = serve.context._get_global_client()
        client.deploy_apps(config)
        time.sleep(15)
        assert serve.status().applications["drdd"].status == ApplicationStatus.DEPLOYING
        assert httpx.get(f"http://127.0.0.1:{port}/v1/health", timeout=30).status_code == 200
        unready = httpx.get(f"http://127.0.0.1:{port}/v1/ready", timeout=30)
        assert (unready.status_code, unready.json()["title"]) == (503, "Service Unavailable")
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
        for host, status in (("drdd-service-serve-svc:8000", 200), ("evil.example:8000", 421)):
            answer = httpx.get(f"http://127.0.0.1:{port}/v1/ready", headers={"Host": host})
            assert answer.status_code == status
