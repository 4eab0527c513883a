"""Every stage is killed at a random moment, and run again: the published model has the same bytes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from drdd.registry.manifest import MEASURED
from flows.graph import stages
from tests.project import environment, must

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
TIMES = 20
SEED = int(os.environ.get("DRDD_FAULT_SEED") or time.time())
STAGES = [
    "check",
    "photographs",
    "ingest@nature",
    "split",
    "prepare@haze",
    "prepare@noise",
    "references@haze",
    "references@noise",
    "train_noise",
    "train_residual",
    "evaluate",
    "compare",
    "judge",
    "publish",
]
# The trainings, which have most to lose, more often than the others.
KILLED = [*STAGES, *["train_noise", "train_residual"] * 3, "evaluate", "publish", "split"]


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "project"
    shutil.copytree(finished, root, symlinks=True)
    remote = f"['remote \"storage\"']\n    url = {tmp_path / 'remote'}\n"
    (root / ".dvc/config.local").write_text(remote)
    yield root
    shutil.rmtree(root)


def _published(root: Path) -> dict[str, bytes]:
    """The version's id, and its files but for those that hold timings."""
    (version,) = (root / "published/versions").iterdir()
    files = {
        path.relative_to(version).as_posix(): path.read_bytes()
        for path in sorted(version.rglob("*"))
        if path.is_file() and path.name not in {"manifest.json", *MEASURED}
    }
    return files | {"id": version.name.encode()}


def _undo(root: Path, stage: str) -> None:
    """As if this stage, and all that read what it makes, had never run."""
    above = {one.name: set(one.upstream) for one in stages(root)}
    gone = {stage}
    for name, upstream in above.items():
        if upstream & gone:
            gone.add(name)
    lock = yaml.safe_load((root / "dvc.lock").read_text())
    for name in gone:
        for out in lock["stages"].pop(name)["outs"]:
            path = root / out["path"]
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (root / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
    for folder in ("published", ".dvc/cache/runs", ".drdd/progress", ".drdd/checkpoints"):
        shutil.rmtree(root / folder, ignore_errors=True)


def _seconds(root: Path, stage: str) -> float:
    """How long the stage took when nobody disturbed it."""
    status = json.loads((root / f".drdd/progress/{stage}.json").read_text())
    return float(status["updated"] - status["began"])


@pytest.mark.parametrize("number", range(TIMES))
def test_a_killed_stage_is_run_again_to_the_same_bytes(
    finished: Path, project: Path, number: int
) -> None:
    stage, chance = KILLED[number], random.Random(SEED + number)
    wanted = chance.uniform(0, _seconds(finished, stage))
    _undo(project, stage)
    command = [sys.executable, "-P", "-m", "flows.reproduce", stage]
    killed = subprocess.Popen(
        command,
        cwd=project,
        env=environment(),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    while not (project / f".drdd/progress/{stage}.json").exists():
        assert killed.poll() is None, killed.stdout and killed.stdout.read()
        time.sleep(0.01)
    time.sleep(wanted)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()

    about = f"{stage} killed after {wanted:.2f} s, DRDD_FAULT_SEED={SEED}"
    must(project, *command)
    must(project, "dvc", "repro")
    assert _published(project) == _published(finished), about
