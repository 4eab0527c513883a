"""One registry in a folder and one on a real S3 server; the tests run on both."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from drdd.registry.cli import app
from drdd.registry.registry import Registry


@pytest.fixture
def s3_registry(s3: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return Registry.open(f"s3://drdd/bucket-{tmp_path.name}")


@pytest.fixture(params=["folder", "s3"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    if request.param == "folder":
        return Registry.open(str(tmp_path / "bucket"))
    opened: Registry = request.getfixturevalue("s3_registry")
    return opened


def run(*arguments: str) -> str:
    """What `drdd models ...` prints. Raises what the command raises."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    if isinstance(result.exception, Exception):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output
