"""Training that is interrupted or loses a worker ends with the bytes of training that was not."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.project import environment, make_project, must

pytestmark = pytest.mark.slow
STAGE = [sys.executable, "-m", "drdd.stages.train_noise"]
WEIGHTS = "models/noise/weights.safetensors"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its data ready and its noise stage trained without a disturbance."""
    root = make_project(tmp_path_factory.mktemp("project"))
    must(root, "dvc", "repro", "train_noise")
    (root / "undisturbed").write_bytes((root / WEIGHTS).read_bytes())
    return root


def _start(root: Path) -> subprocess.Popen[str]:
    (root / WEIGHTS).unlink(missing_ok=True)
    (root / ".drdd/progress/train_noise.json").unlink(missing_ok=True)
    return subprocess.Popen(
        STAGE,
        cwd=root,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _wait_for_images(root: Path, images: int, process: subprocess.Popen[str]) -> None:
    path = root / ".drdd/progress/train_noise.json"
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        assert process.poll() is None, "training ended before it could be disturbed"
        if path.exists() and json.loads(path.read_text())["done"] >= images:
            return
        time.sleep(0.02)
    raise AssertionError("training made no progress")


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_resumes_to_the_same_bytes(prepared: Path, sign: signal.Signals) -> None:
    process = _start(prepared)
    _wait_for_images(prepared, 160, process)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(sign)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "run the same command again" in said
    assert "Traceback" not in said
    assert psutil.wait_procs(children, timeout=30)[1] == []
    assert not (prepared / WEIGHTS).exists()

    again = _start(prepared)
    _, said = again.communicate(timeout=180)
    assert again.returncode == 0, said
    first = re.search(r"(\d+)/640 images", said)
    assert first is not None
    assert int(first[1]) > 80  # it did not begin at the beginning
    assert (prepared / WEIGHTS).read_bytes() == (prepared / "undisturbed").read_bytes()


def test_a_killed_worker_is_replaced(prepared: Path) -> None:
    process = _start(prepared)
    _wait_for_images(prepared, 160, process)
    workers = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if "RayTrainWorker" in " ".join(child.cmdline())
    ]
    assert len(workers) == 1
    workers[0].kill()
    assert psutil.wait_procs(workers, timeout=10)[1] == []
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert (prepared / WEIGHTS).read_bytes() == (prepared / "undisturbed").read_bytes()


def test_a_killed_driver_resumes_to_the_same_bytes(prepared: Path) -> None:
    process = _start(prepared)
    _wait_for_images(prepared, 160, process)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    psutil.wait_procs(children, timeout=30)
    again = _start(prepared)
    _, said = again.communicate(timeout=180)
    assert again.returncode == 0, said
    assert (prepared / WEIGHTS).read_bytes() == (prepared / "undisturbed").read_bytes()


def test_a_loss_that_is_no_number_is_said_in_a_sentence(tmp_path: Path) -> None:
    from tests.project import run, tiny_params

    content = tiny_params()
    content["train"]["noise"] |= {"learning_rate": 1e30, "clip": 1e30, "warmup": 0.0}
    root = make_project(tmp_path / "project", content)
    must(root, "dvc", "repro", "split")
    done = run(root, *STAGE)
    assert done.returncode == 2, done.stdout
    assert "the loss of the noise stage is nan at step" in done.stdout
    assert "Traceback" not in done.stdout
