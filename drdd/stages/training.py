"""What train_noise and train_residual have in common: resume, run, keep the weights and the curve."""

import json
from hashlib import sha256
from pathlib import Path

import pandas as pd
from safetensors.torch import save

from drdd.files import write_bytes
from drdd.progress import Reporter
from drdd.stages.paths import CHECKPOINTS
from drdd.training.launch import Job, discard_checkpoints, fit, settings_of
from drdd.training.loop import Progress


def train_stage(job: Job, folder: Path, reporter: Reporter) -> None:
    """Writes weights.safetensors (the EMA's) and curve.csv to `folder`."""
    name = f"{job.stage}-{_fingerprint(job)}"

    def report(progress: Progress) -> None:
        reporter.update(progress.images, progress.total, "images", f"loss {progress.loss:.4f}")

    trained = fit(job, name, CHECKPOINTS, report)
    weights = {key: value.float().contiguous() for key, value in trained.weights.items()}
    write_bytes(folder / "weights.safetensors", save(weights))
    curve = pd.DataFrame(trained.curve)
    write_bytes(folder / "curve.csv", curve.to_csv(index=False).encode())
    discard_checkpoints(name, CHECKPOINTS)


def skip_stage(folder: Path) -> None:
    """For a method without this stage: its outputs are there, and empty."""
    write_bytes(folder / "weights.safetensors", save({}))
    write_bytes(folder / "curve.csv", b"images,loss\n")


def _fingerprint(job: Job) -> str:
    """Names the run by all that decides its result, so a changed run never resumes an old one."""
    decides = [
        job.params.seed,
        job.params.method,
        job.params.diffusion.model_dump(),
        settings_of(job).model_dump(exclude={"checkpoint_every"}),
        {name: sha256(path.read_bytes()).hexdigest() for name, path in job.shards.items()},
    ]
    return sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]


def absolute_shards(root: Path, names: list[str], split: str) -> dict[str, Path]:
    return {name: (root / name / split).absolute() for name in names}
