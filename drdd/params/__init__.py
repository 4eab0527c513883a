"""The schema of params.yaml: every setting, its type, range, default and meaning, in one room."""

from drdd.params.data import Columns, Corpus, Ingest, Match, Paired
from drdd.params.file import FILE, load, overridden, read, validate
from drdd.params.schema import Gates, Metrics, Params, Serve
from drdd.params.tasks import Task
from drdd.params.training import (
    BASE,
    PRETRAINED,
    SCRATCH,
    Diffusion,
    PretrainedNetwork,
    TimestepSampling,
    TrainNoise,
    TrainResidual,
    TrainStage,
    is_path,
)

__all__ = [
    "BASE",
    "FILE",
    "PRETRAINED",
    "SCRATCH",
    "Columns",
    "Corpus",
    "Diffusion",
    "Gates",
    "Ingest",
    "Match",
    "Metrics",
    "Paired",
    "Params",
    "PretrainedNetwork",
    "Serve",
    "Task",
    "TimestepSampling",
    "TrainNoise",
    "TrainResidual",
    "TrainStage",
    "is_path",
    "load",
    "overridden",
    "read",
    "validate",
]
