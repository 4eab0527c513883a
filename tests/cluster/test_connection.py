"""The private cluster: started ahead or not, it ends with its process and leaves no trace in it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from drdd.cluster.connection import PRIVATE

AHEAD = """
import os, signal, sys
from drdd.cluster.connection import ray_cluster, start_ahead

signal.signal(signal.SIGTERM, signal.default_int_handler)
cpus = int(sys.argv[1])
start_ahead(1)
with ray_cluster(cpus):
    import ray
    assert ray.cluster_resources()["CPU"] == max(cpus, os.cpu_count())
    assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    assert ray.get(ray.remote(lambda: os.getpid()).remote()) != os.getpid()
    print("ready", flush=True)
    sys.stdin.readline()
print(*sorted(set(os.environ) & set(sys.argv[2:])), sep=",", flush=True)
"""
PRINTS = """
import glob, os
from pathlib import Path
from drdd.cluster.connection import QUIET, ray_cluster

assert QUIET.keys() >= {"RAY_ROTATION_MAX_BYTES", "RAY_ROTATION_BACKUP_COUNT"}
os.environ["RAY_ROTATION_MAX_BYTES"] = "20000"  # what is set already is left
with ray_cluster(1):
    import ray

    @ray.remote
    def talk():
        for _ in range(10_000):
            print("x" * 99)
        return os.getpid()

    pid = ray.get(talk.remote())
logs = glob.glob(os.environ["RAY_TMPDIR"] + f"/ray/session_2*/logs/worker-*-{pid}*.out*")
print(len(logs), max(os.path.getsize(path) for path in logs), flush=True)
"""
UNUSED = """
from drdd.cluster.connection import _Private, start_ahead

start_ahead(1)
_Private.ahead.join()
print("ready", flush=True)
"""


def started(code: str, tmp_path: Path, cpus: int = 1) -> "subprocess.Popen[str]":
    names = set(os.environ) - set(PRIVATE) - {"RAY_ADDRESS"}
    environment = {name: os.environ[name] for name in names} | {"RAY_TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", code, str(cpus), *PRIVATE]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)


def heard(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def descendants(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


@pytest.fixture
def short() -> Iterator[Path]:
    """Ray's sockets are below it, and their paths may not be long: pytest's own folders are too deep."""
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")
    yield Path(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.parametrize("cpus", [1, 99], ids=["is used", "is replaced where it is too small"])
def test_a_cluster_started_ahead_leaves_the_process_as_it_was(short: Path, cpus: int) -> None:
    process = started(AHEAD, short, cpus)
    assert heard(process) == "ready"
    assert process.stdin is not None
    process.stdin.close()
    assert heard(process) == ""
    assert process.wait() == 0


@pytest.mark.slow
def test_a_killed_driver_takes_its_cluster_with_it(short: Path) -> None:
    """But for Ray's two agents, which look for their parent once a minute."""
    process = started(AHEAD, short)
    assert heard(process) == "ready"
    below = [other for other in descendants(process) if not other.name().endswith("Agent")]
    assert any(other.name() == "raylet" for other in below)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not psutil.wait_procs(below, timeout=60)[1]


@pytest.mark.slow
def test_a_cluster_that_was_started_ahead_for_nothing_ends_with_its_process(short: Path) -> None:
    process = started(UNUSED, short)
    assert heard(process) == "ready"
    below = descendants(process)
    assert process.wait() == 0
    assert not psutil.wait_procs(below, timeout=60)[1]


@pytest.mark.slow
def test_logs_are_bounded_and_those_of_old_clusters_deleted(short: Path) -> None:
    ended = short / "ray/session_2020-01-01_00-00-00_0_1"
    (ended / "logs").mkdir(parents=True)
    for path in (ended / "logs", ended):
        os.utime(path, (0, 0))
    process = started(PRINTS, short)
    said = heard(process)
    assert process.wait(60) == 0
    files, largest = map(int, said.split())
    assert files == 2
    assert largest < 40_000  # a million bytes were printed
    assert not ended.exists()
