"""Ray, as a user of the machine finds it who has no token."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from drdd.cluster.token import private_cluster, ray_tmpdir, write_token
from drdd.errors import UserError
from tests.strangers import NOBODY, as_nobody, reachable_by_nobody, tokenless_python

PRIVATE = """
import sys
import ray.exceptions  # as stages do, before they start a cluster
from drdd.cluster.connection import ray_cluster

with ray_cluster(1):
    import ray
    assert ray.get(ray.remote(lambda: 7).remote()) == 7
    print(ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.readline()
"""
JOIN = """
import sys, ray
try:
    ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
except (ray.exceptions.RaySystemError, ConnectionError, RuntimeError) as error:
    print("refused", type(error).__name__)
else:
    print("joined", ray.get(ray.remote(lambda: 7).remote()), "of", ray.cluster_resources())
"""
ASK = """
import sys, grpc
from ray.core.generated import gcs_service_pb2 as messages, gcs_service_pb2_grpc as services
stub = services.NodeInfoGcsServiceStub(grpc.insecure_channel(sys.argv[1]))
try:
    print("nodes:", stub.GetAllNodeInfo(messages.GetAllNodeInfoRequest(), timeout=20).node_info_list)
except grpc.RpcError as error:
    print("refused", error.code())
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A temporary folder for all users, as /tmp is, with a path that is short enough for sockets."""
    with TemporaryDirectory(prefix="t", dir="/tmp") as name:
        Path(name).chmod(0o1777)
        yield Path(name)


@pytest.fixture
def private(place: Path) -> Iterator[tuple[str, Path]]:
    """The address and the folder of a private cluster of another process, as a stage starts it."""
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("RAY_")}
    process = subprocess.Popen(
        [sys.executable, "-c", PRIVATE],
        env=environment | {"TMPDIR": str(place)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    yield process.stdout.readline().strip(), place
    process.stdin.close()
    assert process.wait() == 0


@as_nobody
@pytest.mark.slow
def test_a_stranger_neither_joins_a_private_cluster_nor_finds_its_files(
    private: tuple[str, Path],
) -> None:
    address, place = private
    for token in (
        {"RAY_AUTH_MODE": "disabled"},
        {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "guess"},
    ):
        said = tokenless_python(JOIN, address, **token)
        assert "joined" not in said
        assert "refused" in said
    said = tokenless_python(ASK, address)
    assert said.strip() == "refused StatusCode.UNAUTHENTICATED"
    folder = place / f"drdd-ray-{os.getuid()}"
    assert (folder / "token").stat().st_mode & 0o777 == 0o600
    assert list((folder / "ray").glob("session_*/sockets/*"))
    assert reachable_by_nobody(place) == [str(place)]  # which is as /tmp is


@as_nobody
@pytest.mark.parametrize("what", ["their folder", "a link", "a folder for all"])
def test_a_folder_of_others_is_not_used(
    place: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drdd.private_files.gettempdir", lambda: str(place))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    path = ray_tmpdir()
    if what == "a link":
        path.symlink_to(place)
    else:
        path.mkdir()
        path.chmod(0o777)
    if what == "their folder":
        path.chmod(0o755)
        os.chown(path, NOBODY, NOBODY)
    with pytest.raises(UserError, match=r"drdd-ray-\d+ must be private.*set TMPDIR"):
        private_cluster()


def test_a_token_is_kept_once_processes_may_have_read_it(tmp_path: Path) -> None:
    path = tmp_path / "token"
    write_token(path)
    first = path.read_text()
    assert len(first) == 64
    assert path.stat().st_mode & 0o777 == 0o600
    write_token(path)
    assert path.read_text() == first
    assert list(tmp_path.iterdir()) == [path]
