"""requirements.lock: a lock that names CUDA packages would put gigabytes on machines without a GPU."""

import re
import shutil
import subprocess
from pathlib import Path

from tests.conftest import ROOT

LOCK = ROOT / "requirements.lock"


def test_the_lock_leaves_cuda_to_torch() -> None:
    names = re.findall(r"^([a-zA-Z0-9_.-]+)==", LOCK.read_text(), re.MULTILINE)
    assert "torch" in names
    cuda = {name for name in names if re.match(r"nvidia-|cuda-|triton$", name)}
    assert cuda == set()


def test_a_compilation_that_did_not_happen_leaves_the_lock_alone(tmp_path: Path) -> None:
    """`--help` makes the compiler print, succeed, and write nothing."""
    script = tmp_path / "infra/setup/lock.sh"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "infra/setup/lock.sh", script)
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "requirements.lock is as it was" in done.stderr
    assert (tmp_path / "requirements.lock").read_bytes() == LOCK.read_bytes()
