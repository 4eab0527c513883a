"""train_noise: the noise stage, on clean photographs alone unless its conditioning needs pairs."""

from drdd.data.shards import TRAIN
from drdd.params import Params
from drdd.progress import Reporter
from drdd.stages.paths import CORPORA, NOISE, PAIRS
from drdd.stages.run import run_stage
from drdd.stages.training import absolute_shards, skip_stage, train_stage
from drdd.training.launch import Job


def train_noise(params: Params, reporter: Reporter) -> None:
    if params.method != "drdd":
        skip_stage(NOISE)
        return
    if params.train.noise.data == "pairs":
        shards = absolute_shards(PAIRS, sorted(params.tasks), TRAIN)
    else:
        shards = absolute_shards(CORPORA, sorted(params.corpora), TRAIN)
    train_stage(Job("noise", params, shards), NOISE, reporter)


if __name__ == "__main__":
    run_stage("train_noise", train_noise)
