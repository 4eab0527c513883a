"""A disk that is really full: nothing torn is left, what to do is said, running again completes.

A small tmpfs is mounted, and filled so that writing stops at every possible place.
"""

import errno
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from drdd.cluster.checkpoints import Checkpoints, Mark
from drdd.errors import UserError
from drdd.files import atomic_folder, write_bytes
from drdd.params import load
from drdd.progress import Reporter
from drdd.registry.pulling import check
from drdd.registry.registry import Registry
from drdd.stages.judge import judge
from tests.conftest import ROOT
from tests.project import environment
from tests.stages.evaluated import evaluate, prepare

SIZE, PAGE = 4 * 1024**2, 4096
FILES: dict[str, Path | bytes] = {"config.json": b"{}", "model.safetensors": bytes(5 * PAGE)}


class Disk:
    """A mounted file system of its own. root: where."""

    def __init__(self, root: Path) -> None:
        self.root, self._filler = root, root / "filler"

    def fill(self, free: int) -> None:
        """Until `free` bytes, whole pages, are left."""
        self.make_room()
        with self._filler.open("wb") as file:
            file.write(bytes(shutil.disk_usage(self.root).free - free))
        assert shutil.disk_usage(self.root).free == free

    def make_room(self) -> None:
        self._filler.unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    root = tmp_path / "disk"
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(root)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if done.returncode != 0:
        pytest.skip(f"a disk of its own may not be mounted here: {done.stderr.strip()}")
    try:
        yield Disk(root)
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


def _publish_and_promote(registry: Registry, files: dict[str, Path | bytes]) -> str:
    version = registry.publish(files, {})
    registry.aliases.move("champion", version.id)
    return version.id


def test_a_publication_that_fills_the_disk_at_any_place_tears_nothing(disk: Disk) -> None:
    registry = Registry.open(str(disk.root / "models"))
    old = _publish_and_promote(registry, FILES)
    failures, said = 0, ""
    for pages in range(20):
        files: dict[str, Path | bytes] = {**FILES, "config.json": str(pages).encode()}
        disk.fill(pages * PAGE)
        try:
            _publish_and_promote(registry, files)
            failed = False
        except UserError as error:
            failed, said = True, str(error)
        assert not failed or "disk is full" in said
        assert not failed or "make room" in said
        failures += failed
        visible = registry.versions()
        assert [registry.verify(version.id) for version in visible] == [[]] * len(visible)
        assert registry.resolve("champion").id in (old, visible[0].id)
        assert not list(disk.root.rglob("*.tmp"))
        disk.make_room()
        old = _publish_and_promote(registry, files)
        assert registry.resolve("champion").id == old
        assert registry.verify(old) == []
        if not failed:
            break
    assert failures >= 7  # of the files, the manifest, the alias
    assert not failed


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_pull_that_fills_the_disk_leaves_nothing(
    disk: Disk,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    if kind == "s3":
        for name, value in request.getfixturevalue("s3").items():
            monkeypatch.setenv(name, value)
    uri = f"s3://drdd/full-{uuid.uuid4().hex}" if kind == "s3" else str(tmp_path / "models")
    registry = Registry.open(uri)
    version = registry.publish(FILES, {})
    for pages in (0, 2, 4):
        disk.fill(pages * PAGE)
        with pytest.raises(UserError, match=r"disk is full .*make room there"):
            registry.pull(version.id, disk.root / "pulled")
        assert [path.name for path in disk.root.iterdir()] == ["filler"]
    disk.make_room()
    registry.pull(version.id, disk.root / "pulled")
    assert check(disk.root / "pulled", version) == []


def _save(checkpoints: Checkpoints, step: int) -> Mark:
    state = {"net": {"weight": torch.full((4 * PAGE // 4,), float(step))}}
    return checkpoints.save(state, step, 16 * step, "net")


def test_a_checkpoint_that_fills_the_disk_leaves_the_one_before(disk: Disk) -> None:
    checkpoints = Checkpoints(str(disk.root / "run"), keep=2)
    _save(checkpoints, 1)
    last, failures, said = 1, 0, ""
    for step in range(2, 20):
        disk.fill((step - 2) * PAGE)
        try:
            _save(checkpoints, step)
            failed = False
        except UserError as error:
            failed, said = True, str(error)
        assert not failed or "make room there" in said
        failures += failed
        found = checkpoints.newest()
        assert found is not None
        assert (found[1].step, checkpoints.warnings) == (last if failed else step, [])
        assert not list(disk.root.rglob("*.tmp"))
        disk.make_room()
        _save(checkpoints, step)
        last = step
        if not failed:
            break
    assert failures >= 5
    assert not failed


def _two_files(folder: Path) -> None:
    with atomic_folder(folder) as made:
        write_bytes(made / "a", b"new")
        write_bytes(made / "b", bytes(4 * PAGE))


def test_files_and_folders_are_the_old_ones_where_there_is_no_room_for_new(disk: Disk) -> None:
    path, folder = disk.root / "file", disk.root / "folder"
    write_bytes(path, b"old")
    with atomic_folder(folder) as made:
        write_bytes(made / "a", b"old")
    for pages in range(3):
        disk.fill(pages * PAGE)
        with pytest.raises(OSError, match="No space left") as error:
            write_bytes(path, bytes(4 * PAGE))
        assert error.value.errno == errno.ENOSPC
        with pytest.raises(OSError, match="No space left"):
            _two_files(folder)
        assert (path.read_bytes(), (folder / "a").read_bytes()) == (b"old", b"old")
        assert sorted(one.name for one in disk.root.iterdir()) == ["file", "filler", "folder"]
    disk.make_room()
    write_bytes(path, bytes(4 * PAGE))


def _stage(name: str, root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"drdd.stages.{name}"],
        cwd=root,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_a_stage_says_what_to_do_and_completes_when_there_is_room(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workspace itself lies on the full disk, and with it its registry."""
    monkeypatch.chdir(disk.root)
    params = prepare(disk.root)
    evaluate(b"weights", {"haze": 0.5, "noise": 0.6})
    judge(params, Reporter("judge"))
    shutil.copytree(ROOT / "pretrained", disk.root / "pretrained")
    before = (disk.root / "params.yaml").read_bytes()
    for free in (0, 8 * PAGE):
        disk.fill(free)
        full = _stage("publish", disk.root)
        assert full.returncode == 2, full.stderr
        assert "make room" in full.stderr
        assert "Traceback" not in full.stderr
        assert not (disk.root / "results/published.json").exists()
    disk.fill(0)
    checked = _stage("check", disk.root)
    assert checked.returncode == 2, checked.stderr
    assert "No space left on device" in checked.stderr
    assert "make room and run it again" in checked.stderr
    assert not (disk.root / "data/params.ok").exists()
    assert (disk.root / "params.yaml").read_bytes() == before
    assert not list(disk.root.rglob("*.tmp"))
    disk.make_room()
    assert load().publish.registry == "published"
    for name in ("check", "publish"):
        done = _stage(name, disk.root)
        assert done.returncode == 0, done.stderr
    registry = Registry.open(str(disk.root / "published"))
    assert registry.verify("champion") == []
