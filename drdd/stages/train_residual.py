"""train_residual: train the residual stage on the pairs of all tasks, from random or published weights."""

if __name__ == "__main__":
    from drdd.cluster.session import start_ahead

    start_ahead(cpus=1)  # while the modules below are imported

from dataclasses import replace

from rich.console import Console

from drdd.data.pairs import HOLDOUT, TRAIN
from drdd.files import write_json
from drdd.params import Params
from drdd.progress import Reporter
from drdd.stages.paths import CHECKPOINTS, RESIDUAL, START
from drdd.stages.prepared import paired, whereabouts
from drdd.stages.run import run_stage
from drdd.stages.training import run_name, train_stage
from drdd.stages.warm_start import find_warm_start
from drdd.storage.versions import versioned
from drdd.training.job import Job, warm_weights_of
from drdd.training.settings import networks_of


def train_residual(params: Params, reporter: Reporter) -> None:
    pairs, held = (paired(params.tasks, split) for split in (TRAIN, HOLDOUT))
    job = Job("residual", params, pairs, held, versioned(whereabouts(pairs, held)))
    kept = CHECKPOINTS / f"{run_name(job)}.start.json"
    warm = find_warm_start(params, kept)
    if warm.said:
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"train_residual: {warm.said}", markup=False
        )
    job = replace(job, init_from=warm.folder)
    warm_weights_of(job)  # refuse a model that does not fit here, not in a worker
    train_stage(job, networks_of(params, "residual"), RESIDUAL, reporter)
    write_json(START, {"warm_start": params.train.residual.warm_start, "version": warm.version})
    kept.unlink(missing_ok=True)


if __name__ == "__main__":
    run_stage("train_residual", train_residual)
