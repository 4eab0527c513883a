"""train_residual: one residual stage for all tasks, on their pairs."""

from drdd.data.shards import TRAIN
from drdd.params import Params
from drdd.progress import Reporter
from drdd.stages.paths import PAIRS, RESIDUAL
from drdd.stages.run import run_stage
from drdd.stages.training import absolute_shards, train_stage
from drdd.training.launch import Job
from drdd.training.networks import residual_networks


def train_residual(params: Params, reporter: Reporter) -> None:
    shards = absolute_shards(PAIRS, sorted(params.tasks), TRAIN)
    networks = residual_networks(params.train.residual, params.diffusion, params.method)
    train_stage(Job("residual", params, shards), networks, RESIDUAL, reporter)


if __name__ == "__main__":
    run_stage("train_residual", train_residual)
