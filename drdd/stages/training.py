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
from drdd.training.launch import Job, fitted, settings_of
from drdd.training.loop import Progress


def train_stage(
    job: Job, networks: Mapping[str, NetworkConfig], folder: Path, reporter: Reporter
) -> None:
    """Writes weights.safetensors (the EMA's) and curve.csv to `folder`.

    networks: what the stage trains, by their parts of the model.
    """
    name = run_name(job)

    def report(progress: Progress) -> None:
        reporter.update(progress.images, progress.total, "images", f"loss {progress.loss:.4f}")

    with fitted(job, name, CHECKPOINTS, report) as trained:
        write_trained(folder / WEIGHTS, trained.weights, networks)
        curve = pd.DataFrame(trained.curve)
        write_bytes(folder / "curve.csv", curve.to_csv(index=False).encode())


def skip_stage(folder: Path) -> None:
    """For a method without this stage: its outputs are there, and empty."""
    write_trained(folder / WEIGHTS, {}, {})
    write_bytes(folder / "curve.csv", b"images,loss\n")


def run_name(job: Job) -> str:
    """The same for a run that goes on, another for one whose result would differ."""
    return f"{job.stage}-{_fingerprint(job)}"


def _fingerprint(job: Job) -> str:
    """Names the run by all that decides its result, so a changed run never resumes an old one."""
    decides = [
        job.params.seed,
        job.params.method,
        job.params.diffusion.model_dump(),
        settings_of(job).model_dump(exclude={"checkpoint_every"}),
        {name: [(p.target, p.input) for p in pairs] for name, pairs in sorted(job.pairs.items())},
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
