"""One registry in a folder and one on a real S3 server; the tests run on both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from drdd.registry.registry import Registry
from infra.local import stack
from infra.local.settings import Ports, environment, free_port


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The AWS_* environment of a running SeaweedFS with keys of its own."""
    root = tmp_path_factory.mktemp("stack")
    stack.up(root, Ports(s3=free_port(10_000)), ("s3",))
    try:
        settings = environment(root)
        yield {name: settings[name] for name in settings if name.startswith("AWS_")}
    finally:
        stack.down(root)


@pytest.fixture(params=["folder", "s3"])
def registry(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Registry:
    if request.param == "folder":
        return Registry.open(str(tmp_path / "bucket"))
    for name, value in request.getfixturevalue("s3").items():
        monkeypatch.setenv(name, value)
    return Registry.open(f"s3://drdd/bucket-{tmp_path.name}")
