"""train_noise: train the noise stage, on clean photographs only unless its conditioning needs pairs."""

if __name__ == "__main__":
    from drdd.cluster.connection import start_ahead

    start_ahead(cpus=1)  # while the modules below are imported

from drdd.data.pairs import HOLDOUT, TRAIN
from drdd.errors import UserError
from drdd.methods import find
from drdd.params import Params
from drdd.progress import Reporter
from drdd.stages.paths import NOISE
from drdd.stages.prepared import paired, unpaired, whereabouts
from drdd.stages.run import run_stage
from drdd.stages.training import skip_stage, train_stage
from drdd.storage.versions import versioned
from drdd.training.job import Job


def train_noise(params: Params, reporter: Reporter) -> None:
    if "noise" not in find(params.method).stages:
        skip_stage("noise", NOISE, params.method)
        return
    with_pairs = params.train.noise.data == "pairs"
    data, held = (
        paired(params.tasks, split) if with_pairs else unpaired(split) for split in (TRAIN, HOLDOUT)
    )
    if not any(data.values()):
        raise UserError(
            "params.yaml:\n  train.noise.corpora: none of their pictures trains; lower their holdout"
        )
    job = Job("noise", params, data, held, versioned(whereabouts(data, held)))
    train_stage(job, NOISE, reporter)


if __name__ == "__main__":
    run_stage("train_noise", train_noise)
