"""What train_noise and train_residual have in common: resume, run, keep the weights and the curve."""

import json
from collections.abc import Mapping
from hashlib import file_digest, sha256
from pathlib import Path

import pandas as pd

from drdd.checkpoints.trained import write_trained
from drdd.files import write_bytes
from drdd.nets.families import NetworkConfig
from drdd.progress import Reporter
from drdd.stages.paths import CHECKPOINTS, WEIGHTS
from drdd.training.launch import Job, discard_checkpoints, fit, settings_of
from drdd.training.loop import Progress


def train_stage(
    job: Job, networks: Mapping[str, NetworkConfig], folder: Path, reporter: Reporter
) -> None:
    """Writes weights.safetensors (the EMA's) and curve.csv to `folder`.

    networks: what the stage trains, by their parts of the model.
    """
    name = f"{job.stage}-{_fingerprint(job)}"

    def report(progress: Progress) -> None:
        reporter.update(progress.images, progress.total, "images", f"loss {progress.loss:.4f}")

    trained = fit(job, name, CHECKPOINTS, report)
    write_trained(folder / WEIGHTS, trained.weights, networks)
    curve = pd.DataFrame(trained.curve)
    write_bytes(folder / "curve.csv", curve.to_csv(index=False).encode())
    discard_checkpoints(name, CHECKPOINTS)


def skip_stage(folder: Path) -> None:
    """For a method without this stage: its outputs are there, and empty."""
    write_trained(folder / WEIGHTS, {}, {})
    write_bytes(folder / "curve.csv", b"images,loss\n")


def _fingerprint(job: Job) -> str:
    """Names the run by all that decides its result, so a changed run never resumes an old one."""
    decides = [
        job.params.seed,
        job.params.method,
        job.params.diffusion.model_dump(),
        settings_of(job).model_dump(exclude={"checkpoint_every"}),
        {name: _digest(path) for name, path in job.shards.items()},
        _digest(job.start) if job.start else None,
    ]
    return sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]


def _digest(path: Path) -> str | dict[str, str]:
    """Of a file, or of each file of a folder."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return {str(file.relative_to(path)): str(_digest(file)) for file in files}
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def absolute_shards(root: Path, names: list[str], split: str) -> dict[str, Path]:
    return {name: (root / name / split).absolute() for name in names}
