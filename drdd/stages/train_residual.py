"""train_residual: train the residual stage on the pairs of all tasks."""

if __name__ == "__main__":
    from drdd.cluster.connection import start_ahead

    start_ahead(cpus=1)  # while the modules below are imported

from drdd.data.pairs import HOLDOUT, TRAIN
from drdd.params import Params
from drdd.progress import Reporter
from drdd.stages.paths import RESIDUAL
from drdd.stages.prepared import paired, whereabouts
from drdd.stages.run import run_stage
from drdd.stages.training import train_stage
from drdd.storage.versions import versioned
from drdd.training.job import Job


def train_residual(params: Params, reporter: Reporter) -> None:
    pairs, held = (paired(params.tasks, split) for split in (TRAIN, HOLDOUT))
    job = Job("residual", params, pairs, held, versioned(whereabouts(pairs, held)))
    train_stage(job, RESIDUAL, reporter)


if __name__ == "__main__":
    run_stage("train_residual", train_residual)
