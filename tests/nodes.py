"""A cluster of real Ray nodes on one machine, each as alone as a machine of its own.

A node is a set of Linux namespaces: it has an address, a list of processes and a view of the disk to
itself, and nothing of it can be reached from outside. The nodes are joined by a bridge, the switch, in
a namespace of its own, where a node's cable can be pulled. Each set lives exactly as long as its first
process, whose input is a pipe from this one: whatever ends this process ends every node.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from drdd.private_files import private_folder
from infra.local.services import services, write_s3_files
from infra.local.settings import LOOPBACK, REGION, Ports, new_state, short_folder
from tests.conftest import TOKEN
from tests.project import BIN, environment

SUBNET = "10.77.0"
GCS_PORT = 6379
OBJECT_STORE_BYTES = 100_000_000
PATIENCE_S = 120
UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash")
# What the first process of a set does; $0 is what it does in particular.
FIRST = 'ip link set lo up && eval "$0" && echo ready && read -r _'
SWITCH = "ip link add switch type bridge && ip link set switch up"
# $1 is the node's own folder, $2 the path at which Ray finds it; all the others look empty.
DISK = 'mount --bind "$1" "$2" && for path in "${@:3}"; do mount -t tmpfs none "$path"; done'
CAN_BE_MADE = subprocess.run([*UNSHARE, "-c", SWITCH], capture_output=True).returncode == 0
RAY = {
    # Ray's own settings miss a node that has gone silent after a minute.
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
    # Ray Train knows of a lost node late, and waits so long for as many workers as there were.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "10",
    **TOKEN,
    "RAY_USAGE_STATS_ENABLED": "0",
    # All nodes have the machine's host name, which is that of its loopback interface.
    "GLOO_SOCKET_IFNAME": "eth0",
}
OPEN = (
    "import json, sys; from drdd.storage.filesystems import open_filesystem; "
    "fs, path = open_filesystem(sys.argv[1]); "
)
PUT = OPEN + "fs.pipe(path, b'.')"
# The server lists a folder that has become empty as an object of no bytes for a while.
LIST = (
    OPEN
    + "found = fs.find(path, detail=True); print(json.dumps([n for n in found if found[n]['size']]))"
)


@dataclass(frozen=True)
class Node:
    """first: the process with which the node ends; folder: its own part of the disk."""

    number: int
    first: psutil.Process
    folder: Path

    @property
    def address(self) -> str:
        return f"{SUBNET}.{self.number}"

    @property
    def shards(self) -> Path:
        """Its cache of them."""
        return self.folder / "shards"

    def processes(self) -> list[psutil.Process]:
        """None when the node is dead."""
        own = _namespace(self.first)
        return [one for one in psutil.process_iter() if own and _namespace(one) == own]

    def train_workers(self) -> list[psutil.Process]:
        """Those of Ray Train."""
        return [one for one in self.processes() if "RayTrainWorker" in _title(one)]


@dataclass
class Cluster:
    """A head with the control store, an S3 server and no CPU for work; and nodes of one CPU each.

    project: what the head sees and the other nodes do not; settings: the environment of a process on
    the head that uses Ray and S3.
    """

    project: Path
    folder: Path
    settings: dict[str, str] = field(default_factory=lambda: dict(RAY))
    nodes: list[Node] = field(default_factory=list)
    _begun: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _switch: psutil.Process = field(init=False)
    s3: tuple[subprocess.Popen[bytes], list[str], Path] = field(init=False)

    @property
    def head(self) -> Node:
        return self.nodes[0]

    def add(self, cpus: int = 1) -> Node:
        """A new node, once Ray has it."""
        node = self.node(self.project)
        own = {"PYTHONPATH": str(self.folder / "installed"), "DRDD_SHARD_CACHE": str(node.shards)}
        self.start_ray(
            node, f"--address={self.settings['RAY_ADDRESS']}", f"--num-cpus={cpus}", **own
        )
        return node

    def kill(self, node: Node) -> None:
        """SIGKILL to all its processes at once."""
        processes = node.processes()
        node.first.kill()
        assert psutil.wait_procs(processes, timeout=30)[1] == []

    def cut(self, node: Node) -> None:
        """Pull its cable: packets vanish, and nobody is told."""
        self._at_switch("set", f"port{node.number}", "down")

    def join(self, node: Node) -> None:
        """Plug its cable in again."""
        self._at_switch("set", f"port{node.number}", "up")

    def begin(
        self, node: Node, *command: str, folder: Path, log: str, **extra: str
    ) -> subprocess.Popen[bytes]:
        """Start a command on the node, in `folder`; what it says is in `log` of the node's folder."""
        with (node.folder / log).open("wb") as output:
            process = subprocess.Popen(
                [*_on(node), "bash", "-c", 'cd "$0" && exec "$@"', str(folder), *command],
                env=environment(**self.settings | extra),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._begun.append(process)
        return process

    def must(self, *command: str) -> str:
        """The output of a command on the head, in the project, that has to succeed."""
        process = self.begin(self.head, *command, folder=self.project, log="must.log")
        process.wait()
        output = (self.head.folder / "must.log").read_text()
        assert process.returncode == 0, output
        return output

    def objects(self, url: str) -> list[str]:
        """The names of those in the store whose URLs begin with `url`, a folder."""
        names: list[str] = json.loads(self.must(sys.executable, "-c", LIST, url))
        return names

    def follow(
        self, process: subprocess.Popen[bytes], until: Callable[[], bool] = lambda: False
    ) -> set[Node]:
        """Wait for `until`, or the end of the process; the nodes on which Ray Train's workers ran.

        None may run on the head, and the project must look empty to every one of them.
        """
        used = set()
        while process.poll() is None and not until():
            for node in self.nodes:
                for worker in node.train_workers():
                    with suppress(FileNotFoundError):  # it has just ended
                        assert not list(Path(f"/proc/{worker.pid}/root{self.project}").iterdir())
                        used.add(node)
            time.sleep(0.2)
        assert self.head not in used
        return used

    def start(self, apart: bool) -> None:
        """The switch and the head; apart: the store on a node of its own, the project on neither."""
        self._switch = self._first(SWITCH)
        hidden = [self.project] if apart else []
        self.node(*hidden)
        self.settings["RAY_ADDRESS"] = f"{self.head.address}:{GCS_PORT}"
        self.start_s3(self.node(*hidden) if apart else self.head)
        head = ("--head", f"--port={GCS_PORT}", "--num-cpus=0", "--include-dashboard=false")
        self.start_ray(self.head, *head, f"--temp-dir={self.folder / 'ray'}")

    def end(self) -> None:
        for process in self._begun:
            if process.stdin is not None:
                process.stdin.close()
        for process in self._begun:
            process.wait(30)

    def node(self, *hidden: Path) -> Node:
        number = len(self.nodes) + 1
        folder, port = self.folder / f"node{number}", f"port{number}"
        folder.mkdir()
        first = self._first(DISK, *map(str, (folder, self.folder / "ray", *hidden)))
        node = Node(number, first, folder)
        self.nodes.append(node)
        self._at_switch("add", port, *f"type veth peer name eth0 netns {first.pid}".split())
        self._at_switch("set", port, "master", "switch", "up")
        for command in (
            f"ip address add {node.address}/24 dev eth0",
            "ip link set eth0 up",
            "ip route add default dev eth0",  # Ray takes the address from which it would call the world
        ):
            subprocess.run([*_on(node), *command.split()], check=True)
        return node

    def _first(self, script: str, *arguments: str) -> psutil.Process:
        """The first process of a new set of namespaces, when `script` has run there."""
        process = subprocess.Popen(
            [*UNSHARE, "-c", FIRST, script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._begun.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return psutil.Process(process.pid).children()[0]

    def _at_switch(self, *arguments: str) -> None:
        enter = ("nsenter", f"--target={self._switch.pid}", "--net")
        subprocess.run([*enter, "ip", "link", *arguments], check=True)

    def start_ray(self, node: Node, *options: str, **extra: str) -> None:
        store = f"--object-store-memory={OBJECT_STORE_BYTES}"
        command = (str(BIN / "ray"), "start", *options, f"--node-ip-address={node.address}", store)
        process = self.begin(node, *command, "--block", folder=Path("/"), log="ray.log", **extra)
        log = node.folder / "ray.log"
        wait_for(lambda: "Ray runtime started" in log.read_text(), process, log)

    def start_s3(self, node: Node) -> None:
        """The local stack's server, at the node's address and with keys of its own."""
        state = new_state(Ports(), None)
        write_s3_files(self.folder, state)
        server = services(self.folder, state)["s3"]
        self.settings |= {
            "AWS_ENDPOINT_URL": server.address.replace(LOOPBACK, node.address),
            "AWS_ACCESS_KEY_ID": state.access_key,
            "AWS_SECRET_ACCESS_KEY": state.secret_key,
            "AWS_DEFAULT_REGION": REGION,
        }
        private_folder(short_folder(self.folder))
        command = [part.replace(LOOPBACK, node.address) for part in server.command]
        self.run_s3(node, command, server.folder)

    def run_s3(self, node: Node, command: list[str], folder: Path) -> subprocess.Popen[bytes]:
        process = self.begin(node, *command, folder=folder, log="s3.log")

        def takes_a_put() -> bool:
            put = (sys.executable, "-c", PUT, "s3://drdd/.health")
            asked = self.begin(self.head, *put, folder=Path("/"), log="put.log")
            return asked.wait() == 0

        wait_for(takes_a_put, process, node.folder / "s3.log")
        self.s3 = process, command, folder
        return process


@contextmanager
def cluster(project: Path, apart: bool = False) -> Iterator[Cluster]:
    """The switch and the head, ready, as `start` says; nothing is left of it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="nodes", dir="/tmp"))  # sockets' paths must be short
    (folder / "ray").mkdir()
    shutil.copytree(project / "drdd", folder / "installed" / "drdd")
    made = Cluster(project, folder)
    try:
        made.start(apart)
        yield made
    finally:
        made.end()
        shutil.rmtree(short_folder(folder), ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _on(node: Node) -> tuple[str, ...]:
    return ("nsenter", f"--target={node.first.pid}", "--net", "--mount", "--pid")


def _namespace(process: psutil.Process) -> str | None:
    """The one whose list of processes it is in; None when it has ended."""
    try:
        return str(Path(f"/proc/{process.pid}/ns/pid").readlink())
    except OSError:
        return None


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not ready():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.2)
