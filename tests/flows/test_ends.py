"""A run is over only when all that it makes is there: its outputs, and the version whole."""

import json
import shutil
from pathlib import Path

import pytest

from drdd.errors import TransientError
from drdd.registry.registry import Registry
from flows import ends
from flows.graph import opened
from flows.reproduce import reproduce
from tests.flows.toy import make

FILES: dict[str, Path | bytes] = {"config.json": b"{}", "model.safetensors": b"weights"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = make(tmp_path / "project", tmp_path / "remote")
    monkeypatch.chdir(root)
    with opened(root) as repo:
        for stage in ("first", "second"):
            reproduce(repo, stage, force=False, tell=print)
    return root


def test_what_is_there_is_enough(project: Path) -> None:
    ends.verify_outputs(["first", "second"])
    shutil.rmtree(project / ".dvc/cache/files")  # the remote has it
    shutil.rmtree(project / "b")
    ends.verify_outputs(["first", "second"])


def test_a_stage_that_never_ran_is_missing(project: Path) -> None:
    with pytest.raises(TransientError, match=r"remote: c$"):
        ends.verify_outputs(["first", "beside"])


def test_an_output_that_is_nowhere_is_missing(project: Path) -> None:
    shutil.rmtree(project / ".dvc/cache/files")
    shutil.rmtree(project.parent / "remote")
    shutil.rmtree(project / "b")
    with pytest.raises(TransientError, match=r"remote: b$"):
        ends.verify_outputs(["first", "second"])


def _publish(registry: str, version: str) -> None:
    Path("results").mkdir(exist_ok=True)
    Path("results/published.json").write_text(
        json.dumps({"registry": registry, "version": version})
    )


def test_a_version_that_is_not_whole_is_unpublished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    version = Registry.open("published").publish(FILES, {})
    _publish("published", version.id)
    assert not ends.is_unpublished()
    (tmp_path / f"published/versions/{version.id}/config.json").unlink()
    assert ends.is_unpublished()
    _publish("another", version.id)
    assert ends.is_unpublished()


@pytest.mark.parametrize("variable", ["DRDD_SERVE_PORT", "DRDD_SERVICE"])
def test_a_service_is_this_stacks_or_one_elsewhere(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("DRDD_SERVE_PORT", "DRDD_SERVICE"):
        monkeypatch.delenv(name, raising=False)
    assert not ends.has_service()
    monkeypatch.setenv(variable, "8000")
    assert ends.has_service()
