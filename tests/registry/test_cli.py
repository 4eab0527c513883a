"""`drdd models ...`, in process, on a folder and on a real S3 server."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from drdd.checkpoints.folder import load_model
from drdd.errors import UserError
from drdd.registry.cli import app
from drdd.registry.registry import Registry, Version, check
from drdd.store import Store
from tests.checkpoints.test_official import official_checkpoint

METRICS = {"mean": {"gain": {"psnr_rgb": 4.256}}, "passed": True}


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    if isinstance(result.exception, Exception):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def version(registry: Registry, workspace: Path) -> Version:
    published = registry.publish({"model.safetensors": bytes(2_000_000)}, {"metrics": METRICS})
    registry.set_alias("champion", published.id)
    return published


def test_list_shows_the_gain_and_the_gate(registry: Registry, version: Version) -> None:
    unmeasured = registry.publish({"model.safetensors": b""}, {})
    output = _run("list", "--registry", registry.uri)
    row = next(line for line in output.splitlines() if version.id in line)
    for shown in ("champion", version.created[:10], "+4.26 dB", "passed", "2.0 MB"):
        assert shown in row
    assert unmeasured.id in output


def test_list_shows_a_gate_that_was_missed_against_the_model_before(registry: Registry) -> None:
    about = {"metrics": METRICS, "gate": {"passed": False}}
    fallen = registry.publish({"model.safetensors": b""}, about)
    output = _run("list", "--registry", registry.uri)
    (row,) = [line for line in output.splitlines() if fallen.id in line]
    assert "missed" in row


def test_list_for_programs_is_json(registry: Registry, version: Version) -> None:
    (listed,) = json.loads(_run("list", "--json", "--registry", registry.uri))
    assert listed["id"] == version.id
    assert listed["aliases"] == ["champion"]
    assert listed["about"]["metrics"] == METRICS
    assert listed["files"]["model.safetensors"]["size"] == 2_000_000


def test_pull_and_verify(registry: Registry, version: Version) -> None:
    assert "every hash verified" in _run("pull", "champion", "here", "--registry", registry.uri)
    assert check(Path("here"), version.id) == []
    _run("pull", version.id[:6], "--registry", registry.uri)
    assert check(Path(version.id), version.id) == []
    assert "every hash verified" in _run("verify", "champion", "--registry", registry.uri)
    Store(registry.uri).put(f"versions/{version.id}/model.safetensors", b"other")
    for command in ("verify", "pull"):
        with pytest.raises(UserError, match=r"model\.safetensors"):
            _run(command, "champion", *(["new"] * (command == "pull")), "--registry", registry.uri)
    assert not Path("new").exists()


def test_an_official_checkpoint_becomes_a_model_folder(tmp_path: Path) -> None:
    file, folder = official_checkpoint(tmp_path / "theirs.pt", "small"), tmp_path / "ours"
    output = _run("import", str(file), str(folder), "--head-channels", "32")
    for shown in ("residual", "Rddm", "218", "noise", "Adm", "216", "every tensor used"):
        assert shown in output
    assert load_model(folder).sampling.conditioning == "input"
    with pytest.raises(UserError, match="exists already"):
        _run("import", str(file), str(folder))
    (tmp_path / "cut.pt").write_bytes(file.read_bytes()[:5000])
    with pytest.raises(UserError, match="damaged, cut short"):
        _run("import", str(tmp_path / "cut.pt"), str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()
