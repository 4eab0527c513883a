"""Leftovers of killed processes are found and deleted; what is used, young or of worth is left alone."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from drdd.cli.main import app
from drdd.cluster.sessions import ended_sessions
from drdd.files import atomic_folder
from drdd.storage.versions import Address, Shard, at_hand
from infra.doctor import leftovers
from infra.doctor.finding import Site, examine
from infra.local.settings import ray_folder, short_folder
from infra.local.supervisor import MARK

OLD = time.time() - 30 * 24 * 3600


def _aged(*paths: Path) -> None:
    """Nothing at or below the paths has changed for a month."""
    for path in paths:
        for one in [path, *path.rglob("*")]:
            os.utime(one, (OLD, OLD), follow_symlinks=False)


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(1000))
    return path


def _dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder for all that follows, with a path short enough for sockets."""
    path = Path(f"/tmp/left-{os.getpid()}")
    path.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(path))
    monkeypatch.setenv("DRDD_SHARD_CACHE", str(path / "shards"))
    monkeypatch.setattr("tempfile.tempdir", str(path))
    yield path
    shutil.rmtree(path)


def _deleted(root: Path) -> set[Path]:
    found = {one.path for one in leftovers.leftovers(root)}
    assert {one.path for one in leftovers.clean(root)} == found
    assert not any(path.exists() for path in found)
    return {path for path in found if not path.match("/tmp/seaweedfs-*")}


def test_an_unfinished_file_of_a_killed_process_is_deleted(tmp_path: Path, temporary: Path) -> None:
    file = _made(tmp_path / ".drdd/progress/.x.json.0123456789ab.tmp")
    folder = _made(tmp_path / "data/corpora/.nature.0123456789ab.tmp/00000.parquet").parent
    pulled = _made(tmp_path / ".drdd/models/.pull-abc/0123456789ab/config.json").parent.parent
    _aged(tmp_path)
    kept = [
        _made(tmp_path / "data/corpora/nature/00000.parquet"),
        _made(tmp_path / "data/corpora/.nature.0123456789ab.old/00000.parquet"),  # the only copy
        _made(tmp_path / ".drdd/stack/s3/data/.x.0123456789ab.tmp"),  # the store's own
        _made(tmp_path / ".drdd/progress/x.json"),
    ]
    _aged(*kept)
    kept.append(_made(tmp_path / ".drdd/progress/.y.json.0123456789ab.tmp"))  # young
    with atomic_folder(tmp_path / "data/corpora/slow") as written:
        kept.append(_made(written / "a"))
        _aged(written)
        assert _deleted(tmp_path) == {file, folder, pulled}
        assert all(path.exists() for path in kept)


def test_a_session_of_ray_is_deleted_when_no_process_listens_there(
    tmp_path: Path, temporary: Path
) -> None:
    dead, lives, young = (temporary / f"ray/session_{name}" for name in ("dead", "lives", "young"))
    for path in (dead, lives, young):
        _made(path / "logs/raylet.out")
        (path / "sockets").mkdir()
    with closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(str(dead / "sockets/raylet"))
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(lives / "sockets/raylet"))
        server.listen()
        (temporary / "ray/session_latest").symlink_to(young)
        _aged(dead, lives)
        assert _deleted(tmp_path) == {dead}
        assert young.exists()
    _aged(lives)
    assert ended_sessions(temporary / "ray") == [lives]
    of_the_stack = ray_folder(tmp_path) / "session_crashed"
    of_the_stack.mkdir(parents=True)
    _aged(of_the_stack)
    assert _deleted(tmp_path) == {lives, of_the_stack}


def test_the_temporary_folder_of_a_stack_that_does_not_run_is_deleted(
    tmp_path: Path, temporary: Path
) -> None:
    dead, lives = tmp_path / "dead", tmp_path / "lives"
    for root in (dead, lives):
        _made(short_folder(root) / "filer.sock")
    _aged(temporary)
    sleep = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]
    process = subprocess.Popen(
        sleep, env={**os.environ, MARK: str(lives.resolve())}, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert _deleted(tmp_path) == {short_folder(dead)}
    finally:
        process.kill()
        process.communicate()


def test_a_socket_folder_is_deleted_when_no_process_listens_there(
    tmp_path: Path, temporary: Path
) -> None:
    dead, lives, other = (temporary / f"pymp-{name}" for name in ("dead", "lives", "other"))
    for path in (dead, lives, other):
        path.mkdir()
    _made(other / "data")
    with (
        closing(socket.socket(socket.AF_UNIX)) as left,
        closing(socket.socket(socket.AF_UNIX)) as server,
    ):
        left.bind(str(dead / "listener-a"))
        server.bind(str(lives / "listener-a"))
        server.listen()
        _aged(temporary)
        assert _deleted(tmp_path) == {dead}


def test_the_temporary_folder_of_a_training_lives_as_long_as_its_process(
    tmp_path: Path, temporary: Path
) -> None:
    dead = _made(temporary / f"drdd-train-{_dead()}-x/a").parent
    _made(temporary / f"drdd-train-{os.getpid()}-x/a")
    _aged(temporary)
    assert _deleted(tmp_path) == {dead}


def test_logs_of_ended_processes_of_a_stack_that_runs_are_deleted(
    tmp_path: Path, temporary: Path
) -> None:
    logs = ray_folder(tmp_path) / "session_2026/logs"
    pid = _dead()
    dead = {
        _made(logs / f"worker-ab12-01000000-{pid}.out"),
        _made(logs / f"python-core-worker-ab12_{pid}.log"),
    }
    _made(logs / f"worker-ab12-01000000-{os.getpid()}.err")
    _made(logs / "gcs_server.out")
    _aged(tmp_path, temporary)
    _made(logs / f"worker-ab34-01000000-{pid}.out")  # young
    assert _deleted(tmp_path) == dead


def test_shards_that_were_fetched_and_not_used_for_a_month_are_deleted(
    tmp_path: Path, temporary: Path
) -> None:
    old, used = (_made(temporary / "shards" / (digit * 32)) for digit in "01")
    _aged(old, used)
    shard = Shard("a.parquet", rows=1, size=1000, md5=used.name)
    address = Address(shard, tmp_path / "a.parquet", ids=("a",))
    assert at_hand(address) == used
    assert _deleted(tmp_path) == {old}


def test_doctor_lists_what_there_is_and_cleans(
    workspace: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "_store_sockets", lambda: iter([]))
    (workspace / ".drdd/models").mkdir(parents=True)
    (workspace / ".drdd/models/a").write_bytes(bytes(3 * 2**20))
    left = _made(workspace / ".drdd/.a.0123456789ab.tmp")
    _aged(left)
    (found,) = examine(Site(workspace, {}), {"leftovers": leftovers.room})
    assert found.state == "note"
    assert "models 3.0 MiB" in found.found
    assert "1 x unfinished file of a killed process" in found.found
    assert found.do == "drdd doctor --clean"
    result = CliRunner().invoke(app, ["doctor", "--clean"])
    assert result.exit_code == 0
    assert result.stdout.startswith("deleted .drdd/.a.0123456789ab.tmp")
    assert not left.exists()
    (found,) = examine(Site(workspace, {}), {"leftovers": leftovers.room})
    assert (found.state, found.found.endswith("no leftovers")) == ("ok", True)


def test_the_socket_of_a_store_that_was_killed_is_deleted(tmp_path: Path, temporary: Path) -> None:
    """In a place of SeaweedFS's own choice, so the name is one that no server has."""
    path = Path(f"/tmp/seaweedfs-test-{os.getpid()}.sock")
    try:
        with closing(socket.socket(socket.AF_UNIX)) as server:
            server.bind(str(path))
            server.listen()
            _aged(path)
            leftovers.clean(tmp_path)
            assert path.is_socket()
        os.utime(path)
        leftovers.clean(tmp_path)
        assert path.is_socket()  # young: it may be of a server that is just starting
        _aged(path)
        leftovers.clean(tmp_path)
        assert not path.exists()
    finally:
        path.unlink(missing_ok=True)
