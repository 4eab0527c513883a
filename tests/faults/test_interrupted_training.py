"""Training that is interrupted or loses processes ends with the bytes of training that was not."""

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.project import environment, make_project, must, run, tiny_params, write_params

pytestmark = pytest.mark.slow
STAGE = [sys.executable, "-m", "drdd.stages.train_noise"]
RESULTS = ("models/noise/weights.safetensors", "models/noise/curve.csv")
IMAGES, BATCH = 4800, 8
NEVER = 10**6


def _params(**changes: Any) -> dict[str, Any]:
    content = tiny_params()
    wanted = {"images": IMAGES, "batch": BATCH, "validate_every": 800, "checkpoint_every": 400}
    content["train"]["noise"] |= wanted | changes
    return content


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its data ready and its noise stage trained without a disturbance.

    How often it was validated changes no weight: so runs without a validation are compared with it too.
    """
    root = make_project(tmp_path_factory.mktemp("project"), _params())
    must(root, "dvc", "repro", "train_noise")
    for name in RESULTS:
        (root / "undisturbed" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "undisturbed" / name).write_bytes((root / name).read_bytes())
    return root


@pytest.fixture
def project(prepared: Path) -> Path:
    """The same, with the noise stage to be trained again."""
    write_params(prepared, _params())
    for name in (*RESULTS, ".drdd/progress/train_noise.json"):
        (prepared / name).unlink(missing_ok=True)
    assert not list((prepared / ".drdd/checkpoints").glob("noise-*"))
    return prepared


class Training:
    """The stage, running."""

    def __init__(self, root: Path) -> None:
        (root / ".drdd/progress/train_noise.json").unlink(missing_ok=True)
        self.root = root
        self.process = subprocess.Popen(
            STAGE,
            cwd=root,
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def images(self) -> int:
        """Seen, as its progress file says."""
        path = self.root / ".drdd/progress/train_noise.json"
        return int(json.loads(path.read_text())["done"]) if path.exists() else 0

    def wait(self, until: Callable[[], bool]) -> None:
        give_up = time.monotonic() + 120
        while not until():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < give_up, "training made no progress"
            time.sleep(0.01)

    def wait_for_images(self, images: int) -> None:
        self.wait(lambda: self.images >= images)

    def tree(self) -> list[psutil.Process]:
        driver = psutil.Process(self.process.pid)
        return [driver, *driver.children(recursive=True)]

    def workers(self) -> list[psutil.Process]:
        found = []
        for process in self.tree():
            with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                if "RayTrainWorker" in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def end(self) -> tuple[int, str]:
        """Exit status, and what it said."""
        _, said = self.process.communicate(timeout=300)
        return self.process.returncode, said


def _killed(processes: list[psutil.Process]) -> None:
    for process in processes:
        process.send_signal(signal.SIGKILL)
    assert psutil.wait_procs(processes, timeout=30)[1] == []


def _checkpoints(root: Path) -> list[Path]:
    return sorted((root / ".drdd/checkpoints").glob("noise-*/*.json"))


def _unfinished(root: Path) -> list[str]:
    """Data of checkpoints that were not whole: temporary files, or files that no manifest names."""
    found = []
    for folder in (root / ".drdd/checkpoints").glob("noise-*"):
        named = {json.loads(path.read_text())["sha256"][:16] for path in folder.glob("[0-9]*.json")}
        found += [
            path.name
            for path in folder.iterdir()
            if path.name.startswith(".")
            or (path.suffix == ".pt" and path.stem.split("-")[1] not in named)
        ]
    return found


def _saving(root: Path) -> bool:
    """Whether a temporary file is there now."""
    folders = (root / ".drdd/checkpoints").glob("noise-*")
    return any(file.name.startswith(".") for folder in folders for file in folder.iterdir())


def _first_images(said: str) -> int:
    """What the first progress line counts."""
    found = re.search(rf"(\d+)/{IMAGES} images", said)
    assert found is not None, said
    return int(found[1])


def _ended_as_undisturbed(training: Training, names: Sequence[str] = RESULTS) -> str:
    status, said = training.end()
    assert status == 0, said
    assert "Traceback" not in said
    for name in names:
        expected = (training.root / "undisturbed" / name).read_bytes()
        assert (training.root / name).read_bytes() == expected
    assert not _checkpoints(training.root)  # the results are safe
    return said


def _saved_since(root: Path, images: int) -> int:
    """Of the newest checkpoint, which was asked for after `images`: no other is ever due."""
    saved = int(_checkpoints(root)[-1].stem)
    assert images <= saved < IMAGES
    return saved


def test_interrupted_told_to_go_and_killed_in_turn_it_ends_as_undisturbed(project: Path) -> None:
    """No checkpoint is due in the whole run, so each that is there was saved because of a signal."""
    write_params(project, _params(checkpoint_every=NEVER, validate_every=None))
    saved = 0
    for sign in (signal.SIGINT, signal.SIGTERM):
        training = Training(project)
        training.wait_for_images(saved + 200)
        seen, children = training.images, training.tree()[1:]
        training.process.send_signal(sign)
        status, said = training.end()
        assert status == 130, said
        assert "run the same command again" in said
        assert "raylet" not in said
        assert "Traceback" not in said
        assert psutil.wait_procs(children, timeout=30)[1] == []
        assert not saved or _first_images(said) > saved
        saved = _saved_since(project, seen)

    training = Training(project)
    training.wait_for_images(saved + 200)
    (told,) = training.workers()
    seen = training.images
    told.terminate()
    assert psutil.wait_procs([told], timeout=30)[1] == []
    saved = _saved_since(project, seen)
    training.wait(lambda: set(training.workers()) - {told} != set())
    training.wait_for_images(training.images + 10 * BATCH)
    killed = training.workers()
    assert len(killed) == 1
    _killed(killed)
    said = _ended_as_undisturbed(training, RESULTS[:1])
    assert _first_images(said) > 400


def test_killed_at_any_moment_and_a_damaged_checkpoint_passed_over(project: Path) -> None:
    """The driver, at any moment; then the whole node, as soon as a save is seen to have begun."""
    write_params(project, _params(checkpoint_every=BATCH))
    training = Training(project)
    training.wait_for_images(1)
    time.sleep(random.uniform(0, 0.5))
    tree = training.tree()
    _killed(tree[:1])
    psutil.wait_procs(tree, timeout=30)
    for _ in range(8):
        training = Training(project)
        training.wait_for_images(20 * BATCH)
        workers, tree = training.workers(), training.tree()
        while not _saving(project):
            assert training.process.poll() is None
        _killed([*workers, *(one for one in tree if one not in workers)])
        if _unfinished(project):
            break
    assert _unfinished(project), "no kill fell into the middle of a save"

    *_, before, newest = _checkpoints(project)
    (data,) = newest.parent.glob(f"{newest.stem}-*.pt")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    said = _ended_as_undisturbed(Training(project))
    assert _first_images(said) > BATCH
    said = " ".join(said.split())
    assert f"checkpoint at image {int(newest.stem)} in" in said
    assert f"is damaged (SHA-256 differs); going on from image {int(before.stem)}" in said


def test_two_workers_one_of_them_killed(project: Path) -> None:
    write_params(project, _params(workers=2, images=1600))
    status, said = Training(project).end()
    assert status == 0, said
    alike = (project / RESULTS[0]).read_bytes()
    (project / RESULTS[0]).unlink()
    training = Training(project)
    training.wait_for_images(400)
    workers = training.workers()
    assert len(workers) == 2
    _killed(workers[1:])
    status, said = training.end()
    assert status == 0, said
    assert (project / RESULTS[0]).read_bytes() == alike


def test_a_loss_that_is_no_number_is_said_in_a_sentence(project: Path) -> None:
    changes = {"learning_rate": 1e30, "clip": 1e30, "warmup": 0.0, "max_skipped": 3}
    write_params(project, _params(**changes))
    done = run(project, *STAGE)
    assert done.returncode == 2, done.stdout
    assert "of the noise stage, more than train.noise.max_skipped = 3" in done.stdout
    assert "Traceback" not in done.stdout
    for folder in (project / ".drdd/checkpoints").glob("noise-*"):
        shutil.rmtree(folder)
