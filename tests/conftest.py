"""What all tests share."""

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

from drdd.cluster.token import write_token
from drdd.params import read
from infra.local import stack
from infra.local.settings import Ports, environment, free_port

# Where readline is loaded first (in pytest-xdist's workers), it sets them; Rich would never look again.
for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)
ROOT = Path(__file__).resolve().parent.parent
Content = dict[str, Any]
# Ray reads its token once in a process, so all clusters that these tests start or join have the same.
_FOLDER = TemporaryDirectory(prefix="drdd-token-")
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": f"{_FOLDER.name}/token"}
write_token(Path(TOKEN["RAY_AUTH_TOKEN_PATH"]))
os.environ.update(TOKEN)
os.environ["DVC_SITE_CACHE_DIR"] = f"{_FOLDER.name}/dvc"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def content() -> Content:
    """The plain content of the project's own params.yaml, free to be changed."""
    return copy.deepcopy(read(ROOT / "params.yaml"))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny project after `dvc repro` with nothing started by hand. To be read, or copied."""
    from tests.project import make_project, must  # which imports ROOT from here

    root = make_project(tmp_path_factory.mktemp("finished"))
    must(root, "dvc", "repro")
    return root


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
