"""Training on a node that has neither the project's files nor DVC's cache: it reads DVC's remote."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path

import psutil
import pytest

from drdd.storage.filesystems import open_filesystem
from infra.local import stack
from infra.local.settings import Ports, free_port
from infra.local.settings import environment as stack_environment
from tests.conftest import TOKEN
from tests.project import BIN, environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0,
        reason="hiding a folder from a node needs a mount namespace of its own",
    ),
]
WEIGHTS = "models/residual/weights.safetensors"
REPRO = (str(BIN / "dvc"), "repro", "--force", "--single-item", "train_residual")
BARE = 'mount -t tmpfs none "$0" && cd / && exec "$@"'


@dataclass(frozen=True)
class Cluster:
    """A head without a CPU, and a node that sees an empty folder where the project is.

    shards: the node's own cache; settings: the environment of whoever launches work.
    """

    project: Path
    head: psutil.Process
    node: psutil.Process
    shards: Path
    settings: dict[str, str]

    def train(self) -> tuple[int, str, set[int]]:
        """Exit status, output, and the processes on the node that were workers of Ray Train."""
        with (self.project / "output.txt").open("w+") as output:
            running = subprocess.Popen(
                REPRO,
                cwd=self.project,
                env=environment(**self.settings),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            workers = set()
            while running.poll() is None:
                assert not _workers(self.head)
                for worker in _workers(self.node):
                    assert list(Path(f"/proc/{worker}/root{self.project}").iterdir()) == []
                    workers.add(worker)
                time.sleep(0.1)
            output.seek(0)
            return running.returncode, output.read(), workers


def _workers(node: psutil.Process) -> list[int]:
    found = []
    for process in node.children(recursive=True):
        try:
            if "RayTrainWorker" in " ".join(process.cmdline()):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def project(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Its residual stage trained on this machine alone, and a store that has nothing of it."""
    root = Path(shutil.copytree(finished, tmp_path_factory.mktemp("project") / "project"))
    (root / "alone").write_bytes((root / WEIGHTS).read_bytes())
    stack.up(root, Ports(s3=free_port(10_000)), ("s3",))
    yield root
    stack.down(root)


@pytest.fixture(scope="module")
def cluster(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    installed, shards = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("shards")
    shutil.copytree(project / "drdd", installed / "drdd")
    aws = {k: v for k, v in stack_environment(project).items() if k.startswith("AWS_")}
    ray = {**TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
    address = f"127.0.0.1:{free_port()}"
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # sockets' paths must be short
    common = ["--node-ip-address=127.0.0.1", "--object-store-memory=200000000", "--block"]
    head = [f"--port={address.split(':')[1]}", "--num-cpus=0", f"--temp-dir={folder}"]
    start = [str(BIN / "ray"), "start", *common]
    begun: list[subprocess.Popen[bytes]] = []

    def begin(*command: str, **extra: str) -> psutil.Process:
        log = Path(folder, f"{len(begun)}.log").open("wb")  # noqa: SIM115
        begun.append(
            subprocess.Popen(
                command, env=environment(**ray, **extra), cwd="/", stdout=log, stderr=log
            )
        )
        return psutil.Process(begun[-1].pid)

    try:
        first = begin(*start, "--head", "--include-dashboard=false", *head, **aws)
        _wait_for(first, Path(folder, "0.log"))
        second = begin(
            *("unshare", "--mount", "bash", "-c", BARE, str(project)),
            *(*start, f"--address={address}", "--num-cpus=2"),
            **aws,
            PYTHONPATH=str(installed),
            DRDD_SHARD_CACHE=str(shards),
        )
        _wait_for(second, Path(folder, "1.log"))
        settings = {**ray, **aws, "RAY_ADDRESS": address}
        yield Cluster(project, first, second, shards, settings)
    finally:
        trees = [psutil.Process(one.pid) for one in begun if one.poll() is None]
        every = [process for tree in trees for process in (tree, *tree.children(recursive=True))]
        for process in every:
            if process.is_running():
                process.kill()
        psutil.wait_procs(every, timeout=30)
        for one in begun:
            one.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(node: psutil.Process, log: Path) -> None:
    give_up = time.monotonic() + 120
    while "Ray runtime started" not in log.read_text():
        assert node.is_running(), log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.2)


def _objects(cluster: Cluster, url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    for name, value in cluster.settings.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    filesystem, path = open_filesystem(url)
    found = filesystem.find(path, detail=True) if filesystem.exists(path) else {}
    # The server lists a folder that has become empty as an object of no bytes for a while.
    names = [name for name, about in found.items() if about["size"]]
    return {f"s3://{name}": filesystem.cat_file(name) for name in names}


def test_a_node_without_the_project_trains_the_same_weights(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, output, workers = cluster.train()
    assert status == 0, output
    assert workers
    assert (cluster.project / WEIGHTS).read_bytes() == (cluster.project / "alone").read_bytes()
    kept = {path.name: path.read_bytes() for path in cluster.shards.iterdir()}
    shards = [path.read_bytes() for path in (cluster.project / "data").rglob("*.parquet")]
    assert {name: md5(content).hexdigest() for name, content in kept.items()} == {
        name: name for name in kept
    }
    assert len(kept) == 3  # one of the corpus, one of each task
    assert set(kept.values()) <= set(shards)
    pushed = _objects(cluster, "s3://drdd/dvc/files", monkeypatch)
    assert sorted(pushed.values()) == sorted(kept.values())
    assert not _objects(cluster, "s3://drdd/dvc/checkpoints", monkeypatch)


def test_a_damaged_object_ends_training_in_a_sentence(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = _objects(cluster, "s3://drdd/dvc/files", monkeypatch)
    if not pushed:
        pytest.skip("nothing was pushed")
    url, content = next(iter(pushed.items()))
    filesystem, path = open_filesystem(url)
    filesystem.pipe_file(path, content[:-1] + b"?")
    for kept in cluster.shards.iterdir():
        kept.unlink()
    status, output, workers = cluster.train()
    assert status != 0
    assert workers
    assert f"{url}: its content has MD5" in output
    assert "delete it there and `dvc push` again" in output
    assert "Traceback" not in output
    assert not (cluster.project / WEIGHTS).exists()
    assert not (cluster.shards / path.replace("/", "")[-32:]).exists()
    filesystem.pipe_file(path, content)
