"""A store that is down or refuses: publish says so, leaves nothing, and succeeds when run again."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drdd.registry.registry import Registry
from infra.local import stack
from infra.local.settings import Ports, free_port
from infra.local.settings import environment as stack_environment
from tests.project import must, run, tiny_params, write_params

pytestmark = pytest.mark.slow
PUBLISH = (sys.executable, "-m", "drdd.stages.publish")


@pytest.fixture(scope="module")
def project(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Judged, to be published on S3, and with an S3 server of its own."""
    root = Path(shutil.copytree(finished, tmp_path_factory.mktemp("project") / "project"))
    content = tiny_params()
    content["publish"]["registry"] = "s3://drdd/models"
    write_params(root, content)
    (root / "results/published.json").unlink()
    stack.up(root, Ports(s3=free_port(10_000)), ("s3",))
    must(root, "dvc", "repro", "judge", **_aws(root))
    yield root
    stack.down(root)


def _aws(root: Path, **changes: str) -> dict[str, str]:
    kept = {k: v for k, v in stack_environment(root).items() if k.startswith("AWS_")}
    return kept | changes


def test_publish_fails_cleanly_and_then_alone_succeeds(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = run(project, *PUBLISH, **_aws(project, AWS_ENDPOINT_URL="http://127.0.0.1:9"))
    assert down.returncode == 75, down.stdout
    assert "http://127.0.0.1:9 does not answer" in down.stdout

    secret = "not-the-secret"
    refused = run(project, *PUBLISH, **_aws(project, AWS_SECRET_ACCESS_KEY=secret))
    assert refused.returncode == 2, refused.stdout
    assert "access refused" in refused.stdout
    assert secret not in refused.stdout

    for done in (down, refused):
        assert "Traceback" not in done.stdout
    assert not (project / "results/published.json").exists()
    for name, value in _aws(project).items():
        monkeypatch.setenv(name, value)
    registry = Registry.open("s3://drdd/models")
    assert registry.versions() == []
    assert registry.aliases.all() == {}

    output = must(project, "dvc", "repro", **_aws(project))
    assert [line for line in output.splitlines() if line.startswith("Running stage")] == [
        "Running stage 'publish':"
    ]
    published = json.loads((project / "results/published.json").read_text())
    assert registry.resolve("champion").id == published["version"]
    assert registry.verify("champion") == []
