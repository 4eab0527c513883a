"""Batch systems set a TMPDIR that is too long for sockets: they go elsewhere, or it is said."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from drdd.cluster.token import ray_tmpdir
from drdd.errors import UserError
from drdd.pictures.files import png
from drdd.private_files import INNER, SHORT, SOCKET_PATH, socket_base
from infra.local.settings import short_folder
from tests.inference.test_engine import make_model
from tests.project import environment

STACK = """
import sys
from pathlib import Path
from infra.local import stack
from infra.local.settings import Ports, free_port

root = Path(sys.argv[1])
ports = Ports(s3=free_port(10_000), prefect=free_port(), ray=free_port(), dashboard=free_port())
try:
    print(stack.up(root, ports, tuple(sys.argv[2:])).running)
finally:
    stack.down(root)
"""


@pytest.fixture
def long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of this process and those that it starts, with a path of 120 letters or more."""
    path = tmp_path / "slurm_jobdir/1355700" / "node-t0016" / ("x" * 100)
    path.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


def test_every_socket_has_a_path_that_fits(long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    # As Ray names what is below it, and as supervisord names its socket while it is made.
    session = "ray/session_2026-12-01_05-15-35_123456_1234567/sockets/plasma_store"
    for path in (
        ray_tmpdir() / session,
        short_folder(long) / session,
        short_folder(long) / "supervisor.sock.1234567",
    ):
        assert len(os.fsencode(path)) <= SOCKET_PATH
    assert len(f"/drdd-{2**16}-01234567/{session}") <= INNER


def test_without_a_place_for_sockets_it_is_said(
    long: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drdd.private_files.SHORT", long / "no such folder")
    with pytest.raises(
        UserError, match=r"too long for sockets, .*; set TMPDIR to a folder of \d+ "
    ):
        socket_base()


def test_a_short_one_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/mine")
    assert socket_base() == Path("/mine") != SHORT


@pytest.mark.slow
def test_the_local_stack_runs(long: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", STACK, str(tmp_path), "s3", "prefect", "ray"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["True"], done.stderr


@pytest.mark.slow
def test_a_batch_is_restored_by_several_workers(long: Path, workspace: Path) -> None:
    make_model(workspace / "model")
    (workspace / "in").mkdir()
    for n in range(4):
        (workspace / f"in/{n}.png").write_bytes(png(np.full((24, 32, 3), n, np.uint8)))
    command = ["drdd", "restore", "in", "-o", "out", "--model", "model", "--workers", "2"]
    done = subprocess.run(
        [*command, "--threads", "1"], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(list((workspace / "out").glob("*.png"))) == 4
