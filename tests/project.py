"""A copy of the project with params so small that its whole pipeline takes about a minute."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from drdd.params import read, validate
from tests.conftest import ROOT

BIN = Path(sys.executable).parent
OUTSIDE = ("AWS_", "PREFECT_", "RAY_", "DRDD_", "DVC_")
KEPT = "DVC_SITE_CACHE_DIR"  # a folder of these tests


def tiny_params() -> dict[str, Any]:
    content = read(ROOT / "params.yaml")
    photographs = ["astronaut.png", "coffee.png", "chelsea.png"]
    content["photographs"] = {"nature": [f"skimage/data/{name}" for name in photographs]}
    content["corpora"] = {"nature": {"source": "data/photographs/nature", "holdout": ["chelsea"]}}
    content["train"]["noise"] |= {"corpora": ["nature"], "conditioning": "none"}
    content["ingest"]["max_side"] = 128
    content["tasks"] = {
        name: {
            **content["tasks"][name],
            "corpora": ["nature"],
            "variants": 1,
            "min_psnr_gain": -99.0,
            "min_gain_over_reference": None,
        }
        for name in ("noise", "haze")
    }
    for stage in ("noise", "residual"):
        content["train"][stage] |= {
            "images": 640,
            "batch": 8,
            "crop": 32,
            "network": {"family": "compact", "channels": [8, 16], "blocks": 1},
            "start": "scratch",
            "precision": "float32",
            "checkpoint_every": 80,
        }
    content["serve"]["threads"] = 1
    content["publish"]["registry"] = "published"
    return content


def write_params(root: Path, content: Mapping[str, Any]) -> None:
    validate(dict(content))
    OmegaConf.save(OmegaConf.create(dict(content)), root / "params.yaml")


def make_project(root: Path, content: Mapping[str, Any] | None = None) -> Path:
    """A git checkout of the project's files as they are now, with an empty DVC cache."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if name == "dvc.lock" or not (ROOT / name).is_file():
            continue
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes((ROOT / name).read_bytes())
    write_params(root, content or tiny_params())
    (root / ".gitignore").write_text((ROOT / ".gitignore").read_text() + "/published/\n")
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    for arguments in (["init", "-q"], ["add", "--all"], [*identity, "commit", "-qm", "start"]):
        subprocess.run(["git", *arguments], cwd=root, check=True)
    return root


def environment(**extra: str) -> dict[str, str]:
    """This process's, without what points to services, and with the virtual environment first."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == KEPT or not name.startswith(OUTSIDE)
    }
    return {**kept, "PATH": f"{BIN}{os.pathsep}{kept['PATH']}", **extra}


def run(root: Path, *command: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """In the project `root`; both outputs in stdout."""
    return subprocess.run(
        command,
        cwd=root,
        env=environment(**extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def must(root: Path, *command: str, **extra: str) -> str:
    """Like `run`, for what must succeed; its output."""
    done = run(root, *command, **extra)
    assert done.returncode == 0, done.stdout
    return done.stdout
