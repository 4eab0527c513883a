"""Which registry is meant, and the verified local copies of its models."""

import os
from pathlib import Path

import pytest

from drdd.errors import UserError
from drdd.registry.location import cached, default_registry, open_registry, reachable
from drdd.registry.registry import Registry, check
from infra.local.settings import Ports, free_port, new_state, save_state
from tests.conftest import ROOT
from tests.project import run

FILES: dict[str, Path | bytes] = {"config.json": b"{}", "model.safetensors": bytes(1000)}
OTHER_S3 = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE")


def test_the_environment_comes_before_params(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRDD_REGISTRY", raising=False)
    assert default_registry(ROOT) == "s3://drdd/models"
    monkeypatch.setenv("DRDD_REGISTRY", "elsewhere")
    assert default_registry(ROOT) == "elsewhere"


def test_a_bucket_of_a_stack_that_was_never_started_is_said(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in OTHER_S3:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="`drdd up` starts it"):
        open_registry("s3://drdd/models")


def test_the_local_stack_runs_within_a_block_and_leaves_the_environment_as_it_was(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in OTHER_S3:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "mine")
    before = dict(os.environ)
    with reachable("s3://drdd/models"):
        registry = Registry.open("s3://drdd/models")
        registry.set_alias("champion", registry.publish(FILES, {}).id)
        folder = cached("champion", "s3://drdd/models")
        assert "RAY_ADDRESS" not in os.environ.keys() - before.keys()
    assert os.environ == before
    assert check(folder, folder.name) == []
    with reachable("published"):  # a folder needs no server
        assert os.environ == before


def test_a_local_stack_that_is_down_is_said(workspace: Path) -> None:
    save_state(workspace, new_state(Ports(s3=free_port()), None))
    done = run(workspace, "drdd", "models", "list", DRDD_REGISTRY="s3://drdd/models")
    assert done.returncode == 75
    assert "`drdd up` starts the local stack" in done.stdout


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.safetensors").write_bytes(bytes(999)),
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "manifest.json").write_text("{"),
        lambda folder: (folder / "extra").write_text("not published"),
    ],
)
def test_a_damaged_copy_is_pulled_again(
    registry: Registry, workspace: Path, damage: object
) -> None:
    version = registry.publish(FILES, {})
    registry.set_alias("champion", version.id)
    folder = cached("champion", registry.uri)
    assert folder == Path(".drdd/models") / version.id
    before = (folder / "model.safetensors").stat().st_ino
    assert cached("champion", registry.uri) == folder
    assert (folder / "model.safetensors").stat().st_ino == before  # kept, not pulled again
    assert callable(damage)
    damage(folder)
    assert cached("champion", registry.uri) == folder
    assert check(folder, version.id) == []
