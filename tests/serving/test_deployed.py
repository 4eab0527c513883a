"""The service as Serve's config file names it. Nothing here starts Ray."""

import shutil
from pathlib import Path

import pytest
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary as build

from drdd.errors import UserError
from drdd.params import load
from drdd.serving.deployed import Arguments, application, setup_of
from tests.conftest import ROOT


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DRDD_REGISTRY", "DRDD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def test_the_service_is_what_params_say(project: Path) -> None:
    setup = setup_of(Arguments(project=project, overrides=["serve.replicas=3"]))
    assert setup.settings == load(ROOT / "params.yaml", ["serve.replicas=3"]).serve
    assert (setup.source.uri, setup.source.root) == ("s3://drdd/models", project)
    assert setup.environment == {}


def test_the_environment_names_project_and_registry(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRDD_PROJECT", str(project))
    monkeypatch.setenv("DRDD_REGISTRY", "s3://other/models")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-node-alone")
    setup = setup_of(Arguments())
    assert (setup.source.uri, setup.source.root) == ("s3://other/models", project)
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
