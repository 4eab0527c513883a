"""Training as a whole, on clusters of real Ray processes."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from torch import Tensor

from drdd.cluster.checkpoints import Checkpoints
from drdd.cluster.launch import fitted
from drdd.data.pairs import Pair
from drdd.errors import TransientError, UserError
from drdd.params import validate
from drdd.stages.paths import CORPORA
from drdd.storage.versions import Address, addresses
from drdd.training.history import Progress
from drdd.training.job import Job
from drdd.training.loop import Trained
from tests.cluster.clusters import QUIET, head, ray_node
from tests.cluster.lone import Watched
from tests.conftest import ROOT
from tests.corpora import paired_corpus, scene
from tests.project import BIN, environment, tiny_params

pytestmark = pytest.mark.slow
BATCH, STEPS, CPUS = 8, 50, 4
LONG = BATCH * 10_000  # images that no test trains on; many more, and points would be far apart
CLOSED = "http://127.0.0.1:9"
Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Pair], list[Address]]]:
    """Pairs and their shards, in a DVC repository that is the current folder for all tests here."""
    root, before = tmp_path_factory.mktemp("workspace"), Path.cwd()
    os.chdir(root)
    try:
        for command in (
            ("init", "-q", "--no-scm"),
            ("remote", "add", "-q", "-d", "storage", "kept"),
        ):
            subprocess.run([BIN / "dvc", *command], env=environment(), check=True)
        scenes = {str(seed): scene(seed) for seed in range(6)}
        pairs = paired_corpus("dark", {key: (it, it // 3) for key, it in scenes.items()})
        yield pairs, addresses([CORPORA / "dark"])
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def cluster(s3: dict[str, str]) -> Iterator[str]:
    """Its workers have the keys of the store."""
    with head(CPUS, **s3) as address:
        yield address


@pytest.fixture
def shared(cluster: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Four CPUs, to which every run of the test connects."""
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    return cluster


@pytest.fixture
def job(data: tuple[list[Pair], list[Address]]) -> Callable[..., Job]:
    def made(stage: str = "noise", **changes: Any) -> Job:
        pairs, shards = data
        content = tiny_params()
        content["train"][stage] |= {
            "images": BATCH * STEPS,
            "batch": BATCH,
            "crop": 16,
            "validate_every": None,
            "checkpoint_every": 80,
            **changes,
        }
        return Job(stage, validate(content), {"dark": pairs}, {}, shards)

    return made


def _trained(job: Job, watched: Watched | None = None, name: str = "run") -> Trained:
    with fitted(job, name, Path("checkpoints"), watched or Watched()) as trained:
        pass
    assert not Checkpoints(f"checkpoints/{name}", 1).marks()
    return trained


def _refused(job: Job, kind: type[Exception] = UserError, name: str = "run") -> str:
    """The sentence; nothing was trained."""
    watched = Watched()
    with pytest.raises(kind) as error, fitted(job, name, Path("checkpoints"), watched):
        pass
    assert not watched.began
    assert not watched.seen
    assert "\n" not in str(error.value)
    return str(error.value)


def _difference(one: Weights, other: Weights) -> float:
    """Relative, in the Euclidean norm of all weights."""
    assert one.keys() == other.keys()
    a, b = (torch.cat([every[key].flatten() for key in sorted(one)]) for every in (one, other))
    return float((a - b).norm() / b.norm())


def _bytes(trained: Trained) -> dict[str, bytes]:
    return {name: weight.numpy().tobytes() for name, weight in trained.weights.items()}


def test_any_number_of_workers_ends_with_the_same_weights_and_the_same_number_with_the_same_bytes(
    job: Callable[..., Job], shared: str
) -> None:
    expected = _trained(job())
    two = {"workers": 2, "threads": 2}
    for changes in ({"workers": 4}, {"workers": 2, "micro_batch": 2}, two):
        found = _trained(job(**changes))
        assert 0 < _difference(found.weights, expected.weights) < 1e-4, changes
        assert [p["images"] for p in found.curve] == [p["images"] for p in expected.curve]
        for point, other in zip(found.curve, expected.curve, strict=True):
            assert point["loss"] == pytest.approx(other["loss"], rel=1e-4), changes
    again = _trained(job(**two))
    assert _bytes(again) == _bytes(found)
    assert again.curve == found.curve


def test_what_the_cluster_has_not_is_refused(job: Callable[..., Job], shared: str) -> None:
    assert (
        _refused(job(workers=8)) == "train.noise: 8 worker(s) of 1 CPU(s), but the cluster has "
        "4 CPUs; lower train.noise.workers or threads"
    )
    assert (
        _refused(job(gpus=1))
        == "train.noise: 1 worker(s) of 1 GPU(s), but the cluster has 0 GPUs; "
        "lower train.noise.workers or gpus"
    )
    assert not Path("checkpoints/run").exists()


def test_a_checkpoint_of_another_network_is_refused_and_kept(
    job: Callable[..., Job], shared: str
) -> None:
    kept = Checkpoints(str(Path("checkpoints/other").absolute()), 2)
    mark = kept.save({"step": 3}, 3, 24, "another")
    sentence = _refused(job(), name="other")
    assert sentence == (
        f"the checkpoints in {kept.uri} are of another network than that of train.noise; "
        "delete them to train from the start"
    )
    assert kept.newest() == ({"step": 3}, mark)
    kept.discard()


def test_a_store_that_refuses_or_is_silent_is_told_before_training(
    job: Callable[..., Job], shared: str, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRDD_CHECKPOINTS", "s3://drdd/kept")
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    kept = Checkpoints("s3://drdd/kept/run", 2)
    mark = kept.save({"step": 3}, 3, 24, "another")
    with pytest.MonkeyPatch.context() as wrong:
        wrong.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
        assert "access refused" in _refused(job())
    with pytest.MonkeyPatch.context() as wrong:
        wrong.setenv("AWS_ENDPOINT_URL", CLOSED)
        assert f"{CLOSED} does not answer" in _refused(job(), TransientError)
    assert kept.newest() == ({"step": 3}, mark)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """One of 8 MiB, for the checkpoints."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    monkeypatch.setenv("DRDD_CHECKPOINTS", str(path))
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def _fill(disk: Path) -> None:
    """To the last byte."""
    with suppress(OSError), (disk / "fill").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def test_a_full_disk_is_told_before_training(
    job: Callable[..., Job], shared: str, disk: Path
) -> None:
    _fill(disk)
    assert f"{disk}/run: its disk is full" in _refused(job())


class _Filling(Watched):
    """Fills the disk when there is a checkpoint on it."""

    def __init__(self, disk: Path) -> None:
        super().__init__()
        self._disk = disk
        self.last = 0

    def report(self, progress: Progress) -> None:
        super().report(progress)
        marks = Checkpoints(f"{self._disk}/run", 2).marks()
        if marks and not self.last:
            _fill(self._disk)
            self.last = marks[-1].images


def test_a_disk_that_is_filled_meanwhile_is_told_and_the_last_checkpoint_is_whole(
    job: Callable[..., Job], shared: str, disk: Path
) -> None:
    watched, images = _Filling(disk), BATCH * 1500
    filled = job(images=images)
    with (
        pytest.raises(UserError, match=r"its disk is full: .* needed") as error,
        fitted(filled, "run", Path("checkpoints"), watched),
    ):
        pass
    assert "\n" not in str(error.value)
    assert watched.images == images
    assert watched.said
    for sentence in watched.said:
        assert "was not saved" in sentence
        assert "its disk is full" in sentence
        assert "\n" not in sentence
    assert len(set(watched.said)) == len(watched.said)
    (disk / "fill").unlink()
    found = Checkpoints(f"{disk}/run", 2).newest()
    assert found is not None
    assert watched.last <= found[1].images < images
    again = Watched()
    with fitted(filled, "run", Path("checkpoints"), again) as trained:
        assert trained.curve[-1]["images"] == images
    assert again.began[0][-1]["images"] <= found[1].images
    assert len(again.began[0]) > 0


def _processes(cluster: str, title: str = "RayTrainWorker") -> list[psutil.Process]:
    """Of a cluster, by the title that Ray gives them; its raylet, their parent, names the head's port."""
    found, port = [], cluster.rpartition(":")[2]
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            raylet = process.parent()
            if raylet is None or title not in " ".join(process.cmdline()):
                continue
            if any(word.endswith(f":{port}") for word in raylet.cmdline()):
                found.append(process)
    return found


class _Killing(Watched):
    """Kills the worker once, when its checkpoints are in the store."""

    def __init__(self, cluster: str, uri: str) -> None:
        super().__init__()
        self._cluster, self._store, self.killed = cluster, Checkpoints(uri, 2), 0

    def report(self, progress: Progress) -> None:
        super().report(progress)
        if not self.killed and progress.images < progress.total and (marks := self._store.marks()):
            for worker in _processes(self._cluster):
                worker.kill()
                self.killed = marks[-1].images


def test_checkpoints_on_s3_are_resumed_from_and_gone_in_the_end(
    job: Callable[..., Job], shared: str, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    long = job(images=BATCH * 1000)
    expected = _trained(long)
    monkeypatch.setenv("DRDD_CHECKPOINTS", "s3://drdd/runs/")
    watched = _Killing(shared, "s3://drdd/runs/killed")
    with fitted(long, "killed", Path("checkpoints"), watched) as trained:
        assert Checkpoints("s3://drdd/runs/killed", 2).marks()
    assert watched.killed
    assert [bool(history) for history in watched.began] == [False, True]
    assert watched.began[1][-1]["images"] >= watched.killed - 80
    assert _bytes(trained) == _bytes(expected)
    assert trained.curve == expected.curve
    assert not Path("checkpoints/killed").exists()
    assert Checkpoints("s3://drdd/runs/killed", 2).newest() is None


class _GoneOnError(Exception):
    """Training has gone on without the other node."""


class _Draining(Watched):
    """Has the other node drained once, kills it when there is a checkpoint, and sees what follows."""

    def __init__(self, cluster: str, kill: Callable[[], None]) -> None:
        super().__init__()
        self._cluster, self._kill = cluster, kill
        self.drained, self.saved, self.dead = 0, 0, False

    def report(self, progress: Progress) -> None:
        super().report(progress)
        store = Checkpoints("kept/checkpoints/drained", 2)
        if not self.drained:
            assert not store.marks()
            self.drained = progress.images
            _drain_other(self._cluster)
        elif self.drained and not self.dead and (marks := store.marks()):
            self.saved, self.dead = marks[-1].images, True
            self._kill()
        elif len(self.began) > 1 and progress.images > self.began[-1][-1]["images"]:
            raise _GoneOnError


def _drain_other(cluster: str) -> None:
    """Tell the node that is not this driver's that it is taken away in a minute."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    (other,) = [one["NodeID"] for one in ray.nodes() if one["Alive"] and one["NodeID"] != here]
    reason = ["--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=test"]
    command = ["drain-node", f"--address={cluster}", f"--node-id={other}", *reason]
    subprocess.run(
        [BIN / "ray", *command, "--deadline-remaining-seconds=60"],
        env=environment(**QUIET),
        check=True,
        capture_output=True,
    )


def test_a_node_that_is_to_be_taken_away_is_saved_for_at_once(
    job: Callable[..., Job], shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S", "1")
    monkeypatch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "10")
    elastic = {"workers": 2, "min_workers": 1, "threads": CPUS}
    preempted = job(images=LONG, checkpoint_every=LONG, **elastic)
    with ray_node(f"--address={shared}", f"--num-cpus={CPUS}") as other:
        watched = _Draining(shared, other.kill)
        with (
            pytest.raises(_GoneOnError),
            fitted(preempted, "drained", Path("checkpoints"), watched),
        ):
            pass
    assert 0 < watched.drained <= watched.saved
    assert [bool(history) for history in watched.began] == [False, True]
    assert watched.began[1][-1]["images"] >= watched.saved - 10 * BATCH


class Run:
    """A run of a process of its own, in a folder of its own."""

    def __init__(self, folder: Path, job: Job, name: str) -> None:
        self.out = folder / f"{name}.json"
        given = folder / f"{name}.pickle"
        given.write_bytes(pickle.dumps(job))
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.cluster.lone", given, name, self.out],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> list[tuple[float, int]]:
        """When each point came, and how many images it counted."""
        assert self.process.wait() == 0, self.log.read_text()
        return [(at, images) for at, images in json.loads(self.out.read_text())]


@pytest.mark.long
def test_two_stages_that_fill_a_cluster_run_side_by_side(
    job: Callable[..., Job], shared: str, tmp_path: Path
) -> None:
    timed = {"images": LONG, "minutes": 0.4, "threads": 2}
    with (
        Run(tmp_path, job("noise", **timed), "noise") as noise,
        Run(tmp_path, job("residual", rollout=False, **timed), "residual") as residual,
    ):
        points = [run.end() for run in (noise, residual)]
    begin, end = max(p[0][0] for p in points), min(p[-1][0] for p in points)
    assert end - begin > 5
    speeds = []
    for found in points:
        inside = [point for point in found if begin <= point[0] <= end]
        (first, seen), (last, images) = inside[0], inside[-1]
        speeds.append((images - seen) / (last - first))
    assert max(speeds) / min(speeds) < 4, speeds  # neither waits for the other to be done


def _wait_for(workers: int, cluster: str, *runs: Run) -> None:
    """Until so many train, of all runs together."""
    seen: list[int] = []
    while (found := len(_processes(cluster))) != workers:
        if found not in seen[-1:]:
            seen.append(found)
        for run in runs:
            assert run.process.poll() is None, (run.log.read_text(), seen)
        time.sleep(0.5)


@pytest.mark.long
def test_elastic_runs_share_a_cluster_and_the_one_that_remains_grows(
    job: Callable[..., Job], shared: str, tmp_path: Path
) -> None:
    """The first has all that it may have, the second the rest, until the first has ended."""
    elastic = {"workers": 3, "min_workers": 1, "images": LONG, "batch": 12}
    with Run(tmp_path, job("noise", **elastic, minutes=1), "first") as first:
        _wait_for(3, shared, first)
        with Run(tmp_path, job("residual", **elastic), "second") as second:
            _wait_for(4, shared, first, second)
            first.end()
            _wait_for(3, shared, second)
            second.process.send_signal(signal.SIGINT)
            second.process.wait()
    kept = Checkpoints("checkpoints/second", 2)
    assert kept.marks()[-1].images > 0
    kept.discard()


def test_a_run_that_waits_for_workers_ends_when_it_is_interrupted(
    job: Callable[..., Job], shared: str, tmp_path: Path
) -> None:
    """Ray Train's controller ends when the run does, although no worker is there to return."""
    import ray

    ray.init(address=shared, log_to_driver=False)
    try:
        reserved = ray.util.placement_group([{"CPU": 1}])
        assert reserved.wait(30)
        with Run(tmp_path, job(workers=CPUS), "waiting") as run:
            while not _processes(shared, "TrainController"):
                assert run.process.poll() is None, run.log.read_text()
                time.sleep(0.2)
            run.process.send_signal(signal.SIGINT)
            run.process.wait(60)
            said = run.log.read_text()
            assert said.rstrip().endswith("KeyboardInterrupt"), said
    finally:
        ray.shutdown()
