"""One registry in a folder and one on a real S3 server; the tests run on both."""

from pathlib import Path

import pytest

from drdd.registry.registry import Registry


@pytest.fixture(params=["folder", "s3"])
def registry(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Registry:
    if request.param == "folder":
        return Registry.open(str(tmp_path / "bucket"))
    for name, value in request.getfixturevalue("s3").items():
        monkeypatch.setenv(name, value)
    return Registry.open(f"s3://drdd/bucket-{tmp_path.name}")
