"""infra.joined: the command beside a node of the cluster. `ray` is a script here, but in the slow test."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.nodes import CAN_BE_MADE, cluster
from tests.project import environment, make_project

PYTHON = sys.executable
# Says that it has started; a file called `die` ends it.
RAY = """#!/bin/sh
echo "$@" >>"$LOG"
trap 'echo ended >>"$LOG"; exit 0' TERM
echo Ray runtime started.
while [ ! -e "$LOG.die" ]; do sleep 0.05; done
rm "$LOG.die"
"""
# Not of this machine, but taken for an answering head: the port is listened at on all addresses.
COMMAND = (PYTHON, "-m", "infra.joined")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """What the stand-in for `ray` was asked."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ray").write_text(RAY)
    (tmp_path / "bin/ray").chmod(0o755)
    return tmp_path / "ray.log"


@contextmanager
def _joined(
    log: Path, address: str, *command: str, **extra: str
) -> Iterator[subprocess.Popen[str]]:
    """`command` in a process that takes every machine for another one."""
    code = "import infra.joined as j, sys; j._is_here = lambda a: False; j.AGAIN_S = 0.1; "
    known = environment(LOG=str(log), RAY_ADDRESS=address, **extra)
    known["PATH"] = f"{log.parent / 'bin'}{os.pathsep}{known['PATH']}"
    with subprocess.Popen(
        [PYTHON, "-c", code + "sys.exit(j.main(sys.argv[1:]))", *command],
        cwd=ROOT,
        env=known,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def head() -> Iterator[str]:
    """A port that answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def _wait(path: Path, text: str, times: int = 1) -> None:
    give_up = time.monotonic() + 20
    while not path.exists() or path.read_text().count(text) < times:
        assert time.monotonic() < give_up, path.read_text() if path.exists() else "nothing"
        time.sleep(0.05)


def test_the_command_runs_beside_a_node_without_room_for_others(log: Path, head: str) -> None:
    with _joined(
        log, head, "sh", "-c", "echo $RAY_AUTH_MODE; exit 7", DRDD_NODE_IP="10.0.0.9"
    ) as one:
        assert one.communicate(timeout=30)[0] == "token\n"
    assert one.returncode == 7
    said = log.read_text()
    assert said.startswith(f"start --address={head} --num-cpus=0 --num-gpus=0 ")
    assert "--node-ip-address=10.0.0.9" in said
    assert said.endswith("ended\n")


def test_a_node_that_dies_is_started_again_and_the_command_goes_on(log: Path, head: str) -> None:
    with _joined(
        log, head, "sh", "-c", f"touch {log}.die; while [ ! -e {log}.over ]; do sleep 0.05; done"
    ) as one:
        _wait(log, "start --address", times=2)
        assert one.poll() is None
        Path(f"{log}.over").touch()
        assert one.wait(30) == 0
    assert log.read_text().count("ended") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_and_then_the_node(log: Path, head: str, number: int) -> None:
    script = f"trap 'echo command >>{log}; exit 3' TERM INT; echo; while :; do sleep 0.05; done"
    with _joined(log, head, "sh", "-c", script) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "\n"
        one.send_signal(number)
        assert one.wait(30) == 3
    assert log.read_text().endswith("command\nended\n")


def test_it_can_be_ended_while_no_head_answers(log: Path) -> None:
    with _joined(log, "127.0.0.1:1", "true") as one:
        time.sleep(2)
        one.terminate()
        assert one.wait(30) == 128 + signal.SIGTERM
    assert not log.exists()


@pytest.mark.parametrize("address", ["", "127.0.0.1:6379", "localhost:6379"])
def test_where_ray_is_the_command_runs_alone(log: Path, address: str) -> None:
    known = environment(LOG=str(log), RAY_ADDRESS=address)
    command = [*COMMAND, "sh", "-c", "echo $PPID; exit 5"]
    done = subprocess.run(command, cwd=ROOT, env=known, stdout=subprocess.PIPE, text=True)
    assert (done.returncode, done.stdout) == (5, f"{os.getpid()}\n")
    assert not log.exists()


def test_an_address_without_a_port_is_refused() -> None:
    known = environment(RAY_ADDRESS="ray-head")
    done = subprocess.run(
        [*COMMAND, "true"], cwd=ROOT, env=known, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 1
    assert "RAY_ADDRESS = 'ray-head'" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not CAN_BE_MADE, reason="nodes need root, namespaces and iproute2")
def test_a_driver_on_a_machine_of_its_own_uses_the_cluster(tmp_path: Path) -> None:
    """The machine gives the cluster nothing; the task runs on the node that has a CPU."""
    script = (
        "import ray; from drdd.cluster.connection import ray_cluster\n"
        "@ray.remote(num_cpus=1)\n"
        "def where(): return ray.util.get_node_ip_address()\n"
        "with ray_cluster(1): print(ray.get(where.remote()), ray.cluster_resources()['CPU'])\n"
    )
    project = make_project(tmp_path)
    with cluster(project) as made:
        worker, driver = made.add(), made.node()
        command = (*COMMAND, PYTHON, "-c", script)
        process = made.begin(driver, *command, folder=ROOT, log="joined.log")
        assert process.wait(120) == 0, (driver.folder / "joined.log").read_text()
        said = (driver.folder / "joined.log").read_text().split("\n")
        assert f"{worker.address} 1.0" in said
        assert [one for one in driver.processes() if "raylet" in " ".join(one.cmdline())] == []
