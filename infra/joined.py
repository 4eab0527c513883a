"""`python -m infra.joined COMMAND...`: runs a command on a machine that is a node of the Ray cluster.

What uses Ray has to run beside a raylet. So this machine joins the cluster at RAY_ADDRESS (host:port)
with no CPU or GPU for others' work, and leaves it when the command ends. A node that dies is started
again while the command goes on. Where Ray is on this machine already, or RAY_ADDRESS is not set, the
command runs as if it had been called itself.

DRDD_NODE_IP: this machine's address in the cluster, where Ray would choose another. RAY_AUTH_MODE:
token, unless it says disabled; the token is RAY_AUTH_TOKEN, or in the file RAY_AUTH_TOKEN_PATH.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

OBJECT_STORE_BYTES = 200 * 1024**2
JOINED_S = 300.0  # within which there must be a node at first
AGAIN_S = 5.0  # between two starts of it
STOP_S = 30.0  # for it to end
POLL_S = 0.1
STARTED = "Ray runtime started"


def main(command: list[str]) -> int:
    """The exit code of the command, as a shell tells it: 128 and the signal that ended it."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    address = os.environ.get("RAY_ADDRESS", "")
    if not address or _is_here(address):
        os.execvp(command[0], command)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: asked.append(number))
    node = _Node(address)
    try:
        code = _run(command, node, asked)
    finally:
        node.end()
    return code if code >= 0 else 128 - code


def _run(command: list[str], node: "_Node", asked: list[int]) -> int:
    """Signals go to the command alone, which may need the node to end well."""
    running: subprocess.Popen[bytes] | None = None
    give_up = time.monotonic() + JOINED_S
    while True:
        node.keep()
        if running is None and node.has_joined.is_set():
            running = subprocess.Popen(command)
        if running is None and time.monotonic() > give_up:
            sys.exit(f"no node of {node.address} after {JOINED_S:.0f} s")
        while asked:
            number = asked.pop(0)
            if running is None:
                return -number
            running.send_signal(number)
        if running is not None and running.poll() is not None:
            return running.returncode
        time.sleep(POLL_S)


class _Node:
    """has_joined: whether it ever did."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.has_joined = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._next = 0.0

    def keep(self) -> None:
        """Start it if it does not run, the head answers, and it was not just tried."""
        if (self._process and self._process.poll() is None) or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + AGAIN_S
        if _answers(self.address):
            command = ray_start(self.address, os.environ.get("DRDD_NODE_IP"))
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()

    def end(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if STARTED in line:
                self.has_joined.set()


def ray_start(address: str, own: str | None) -> list[str]:
    """own: the node's address."""
    nothing = ("--num-cpus=0", "--num-gpus=0", f"--object-store-memory={OBJECT_STORE_BYTES}")
    chosen = [f"--node-ip-address={own}"] if own else []
    return [
        "ray",
        "start",
        f"--address={address}",
        *nothing,
        *chosen,
        "--disable-usage-stats",
        "--block",
    ]


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        sys.exit(f"RAY_ADDRESS = {address!r}: host:port of the Ray head is wanted")
    return host.strip("[]"), int(port)


def _is_here(address: str) -> bool:
    """Whether an address of this machine is meant: no other can be bound to."""
    try:
        found = socket.getaddrinfo(_host_and_port(address)[0], 0, type=socket.SOCK_STREAM)
        with socket.socket(found[0][0]) as probe:
            probe.bind((found[0][4][0], 0))
    except OSError:
        return False  # also where the head has no name yet
    return True


def _answers(address: str) -> bool:
    try:
        socket.create_connection(_host_and_port(address), timeout=5).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if sys.argv[1:] else __doc__)
