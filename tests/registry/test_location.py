"""Which registry is meant, and the verified local copies of its models."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from drdd.errors import UserError
from drdd.registry.location import (
    cached,
    default_registry,
    folder_of,
    open_registry,
    reachable,
)
from drdd.registry.manifest import Version
from drdd.registry.pulling import check
from drdd.registry.registry import Registry
from infra.local.settings import Ports, free_port, new_state, save_state
from tests.conftest import ROOT
from tests.inference.test_engine import make_model
from tests.project import environment, run, tiny_params, write_params

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
    write_params(workspace, tiny_params())
    with pytest.raises(UserError, match="`drdd up` starts it"):
        open_registry("s3://drdd/models")


def test_outside_of_a_project_no_local_stack_is_looked_for(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in OTHER_S3:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(UserError, match="no keys to ask with"):
        open_registry("s3://drdd/models")


def test_the_local_stack_runs_within_a_block_and_leaves_the_environment_as_it_was(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in OTHER_S3:
        monkeypatch.delenv(name, raising=False)
    write_params(workspace, tiny_params())
    monkeypatch.setenv("AWS_DEFAULT_REGION", "mine")
    before = dict(os.environ)
    with reachable("s3://drdd/models"):
        registry = Registry.open("s3://drdd/models")
        registry.aliases.move("champion", registry.publish(FILES, {}).id)
        folder = cached("champion", "s3://drdd/models")
        assert check(folder, registry.resolve("champion")) == []
        assert "RAY_ADDRESS" not in os.environ.keys() - before.keys()
    assert os.environ == before
    with reachable("published"):  # a folder needs no server
        assert os.environ == before


def test_a_local_stack_that_is_down_is_said(workspace: Path) -> None:
    write_params(workspace, tiny_params())
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
    write_params(workspace, tiny_params())
    version = registry.publish(FILES, {})
    registry.aliases.move("champion", version.id)
    folder = cached("champion", registry.uri)
    assert folder == Path(".drdd/models") / version.id
    before = (folder / "model.safetensors").stat().st_ino
    assert cached("champion", registry.uri) == folder
    assert (folder / "model.safetensors").stat().st_ino == before  # kept, not pulled again
    assert callable(damage)
    damage(folder)
    assert cached("champion", registry.uri) == folder
    assert check(folder, version) == []


@pytest.fixture
def model(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Version:
    """The champion, a model that can restore; its copies go to a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = make_model(tmp_path / "made")
    files: dict[str, Path | bytes] = {path.name: path for path in folder.iterdir()}
    version = registry.publish(files, {})
    registry.aliases.move("champion", version.id)
    return version


def test_a_model_is_found_by_each_of_its_addresses(
    registry: Registry, model: Version, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = workspace / "cache" / "drdd" / "models" / model.id
    addresses = [f"{registry.uri}@{ref}" for ref in ("champion", model.id, model.id[:6])]
    addresses += [model.uri, f"{model.uri}/"]
    for address in addresses:
        assert folder_of(address) == cache
    assert check(cache, model) == []
    assert folder_of(workspace / "made") == workspace / "made"
    with pytest.raises(UserError, match="champion is no model"):
        folder_of("champion")
    monkeypatch.setenv("DRDD_REGISTRY", registry.uri)
    assert folder_of("champion") == cache
    with pytest.raises(UserError, match="no model 'champoin'"):
        folder_of("champoin")


@pytest.mark.parametrize("address", ["no/such/folder", "@champion", "here@", "s3://drdd/models"])
def test_an_address_that_names_no_model_is_refused(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.delenv("DRDD_REGISTRY", raising=False)
    with pytest.raises(UserError, match="is no model: neither base, nor a model folder"):
        folder_of(address)


def test_a_damaged_copy_in_the_registrys_own_folder_is_found(
    tmp_path: Path, model: Version
) -> None:
    """A version's folder looks like a model folder, but is used only when its hashes are right."""
    if "://" not in model.uri:
        Path(model.uri, "config.json").write_text("{}")
        with pytest.raises(UserError, match="damaged"):
            folder_of(model.uri)


@pytest.mark.parametrize("registry", ["s3"], indirect=True)
def test_a_fresh_process_in_an_empty_folder_restores_with_a_published_model(
    registry: Registry, model: Version, tmp_path: Path
) -> None:
    """No params.yaml, no project: an application's own process."""
    script = (
        "import sys, drdd\n"
        "assert 'torch' not in sys.modules\n"
        "import numpy as np\n"
        "restorer = drdd.Restorer.from_pretrained(sys.argv[1])\n"
        "output = restorer.restore(np.full((20, 24, 3), 128, np.uint8)).output\n"
        "print(output.shape, output.dtype)\n"
    )
    kept = {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", script, f"{registry.uri}@champion"],
        cwd=tmp_path / "empty",
        env=environment(XDG_CACHE_HOME=str(tmp_path / "cache"), **kept),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "(20, 24, 3) uint8\n", done.stderr
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize("what", ["a file", "a link to nothing", "a link to a folder"])
def test_what_stands_in_the_place_of_a_copy_is_replaced(workspace: Path, what: str) -> None:
    version = Registry.open(str(workspace / "registry")).publish(FILES, {})
    write_params(workspace, tiny_params())
    place = workspace / ".drdd/models" / version.id
    place.parent.mkdir(parents=True)
    other = workspace / "other"
    if what == "a file":
        place.write_bytes(b"x")
    else:
        place.symlink_to(other)
    if what == "a link to a folder":
        other.mkdir()
        (other / "mine.txt").write_text("mine")
    folder = cached(version.id, str(workspace / "registry"), workspace)
    assert folder == place
    assert not place.is_symlink()
    assert check(folder, version) == []
    assert what != "a link to a folder" or (other / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("uri", [None, 3, b"base", "", "  ", []])
def test_what_names_no_model_is_said(uri: Any) -> None:
    with pytest.raises(UserError, match="names no model; name base, a model folder"):
        folder_of(uri)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "a pointer of Git LFS; run `git lfs pull`",
        ),
        (b"<!DOCTYPE html><html>", "a web page; download it again"),
        (b"\x89PNG\r\n\x1a\n", "PNG; name the folder of a model"),
        (b"\x1f\x8b\x08", "a gzip archive; unpack it"),
    ],
)
def test_a_file_in_place_of_a_model_is_named_by_its_first_bytes(
    tmp_path: Path, content: bytes, said: str
) -> None:
    for name in ("model.pt", "model.safetensors", "model"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name} is no model but {said}"):
            folder_of(tmp_path / name)


def test_a_file_that_may_be_a_checkpoint_is_to_be_imported(tmp_path: Path) -> None:
    for content in (b"PK\x03\x04", b"\x80\x02", b"nothing known"):
        (tmp_path / "model.pt").write_bytes(content)
        with pytest.raises(UserError, match=r"is a file; a model is a folder .* models import"):
            folder_of(tmp_path / "model.pt")
