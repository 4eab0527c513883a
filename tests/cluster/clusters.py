"""Ray clusters of real `ray start` processes on this machine, apart from any other."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.local.settings import free_port
from tests.conftest import TOKEN
from tests.project import BIN, environment

OBJECT_STORE_BYTES = 100_000_000
QUIET = {**TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
ANY_PORTS = ("--min-worker-port=0", "--max-worker-port=0")


@dataclass(frozen=True)
class RayNode:
    """A node, which ends with its first process."""

    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """All of its processes at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def ray_node(*options: str, **extra: str) -> Iterator[RayNode]:
    """A node of a cluster, from `ray start` with these options; killed after the block.

    extra: of the environment of its workers.
    """
    with tempfile.NamedTemporaryFile(prefix="ray-start-") as log:
        command = (str(BIN / "ray"), "start", "--block", *ANY_PORTS, *options)
        store = f"--object-store-memory={OBJECT_STORE_BYTES}"
        process = subprocess.Popen(
            [*command, store],
            env=environment(**QUIET, **extra),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        node = RayNode(process)
        try:
            while "Ray runtime started" not in Path(log.name).read_text():
                _let_run(process, Path(log.name))
            yield node
        finally:
            if process.poll() is None:
                node.kill()


def _let_run(process: subprocess.Popen[bytes], log: Path) -> None:
    """A moment of waiting for a process that must not end."""
    try:
        process.wait(0.2)
    except subprocess.TimeoutExpired:
        return
    raise AssertionError(log.read_text())


@contextmanager
def head(cpus: int, **extra: str) -> Iterator[str]:
    """A cluster's first node; its address, for RAY_ADDRESS. extra: of its workers' environment."""
    port, client = free_port(20_000), free_port(10_000)
    with tempfile.TemporaryDirectory(
        prefix="ray", dir="/tmp"
    ) as folder:  # sockets' paths must be short
        options = (
            "--head",
            f"--port={port}",
            f"--ray-client-server-port={client}",
            f"--num-cpus={cpus}",
            "--node-ip-address=127.0.0.1",
            "--include-dashboard=false",
            f"--temp-dir={folder}",
        )
        with ray_node(*options, **extra):
            yield f"127.0.0.1:{port}"
