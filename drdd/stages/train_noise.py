"""train_noise: train the noise stage, on clean photographs only unless its conditioning needs pairs."""

if __name__ == "__main__":
    from drdd.cluster.session import start_ahead

    start_ahead(cpus=1)  # while the modules below are imported

from pathlib import Path

from rich.console import Console
from rich.table import Table

from drdd.checkpoints.pretrained import Pretrained
from drdd.data.pairs import HOLDOUT, TRAIN
from drdd.errors import UserError
from drdd.methods import find
from drdd.params import SCRATCH, Params
from drdd.progress import Reporter
from drdd.stages.paths import NOISE
from drdd.stages.prepared import paired, unpaired, whereabouts
from drdd.stages.run import run_stage
from drdd.stages.training import skip_stage, train_stage
from drdd.storage.versions import versioned
from drdd.training.job import Job, pretrained_of
from drdd.training.settings import networks_of


def train_noise(params: Params, reporter: Reporter) -> None:
    if "noise" not in find(params.method).stages:
        skip_stage("noise", NOISE)
        return
    with_pairs = params.train.noise.data == "pairs"
    data, held = (
        paired(params.tasks, split) if with_pairs else unpaired(split) for split in (TRAIN, HOLDOUT)
    )
    if not any(data.values()):
        raise UserError(
            "params.yaml:\n  train.noise.corpora: none of their pictures trains; lower their holdout"
        )
    init_from = None if params.train.noise.start == SCRATCH else Path(params.train.noise.start)
    shards = versioned(whereabouts(data, held))
    job = Job("noise", params, data, held, shards, init_from and init_from.absolute())
    if found := pretrained_of(job):
        Console(stderr=True, highlight=False).print(account(params.train.noise.start, found))
    networks = {"noise": found.config} if found else networks_of(params, "noise")
    train_stage(job, networks, NOISE, reporter)


def account(origin: str, found: Pretrained) -> Table:
    """A table of all values: loaded, skipped and new."""
    table = Table(box=None, title=f"the noise stage begins from {origin}", title_justify="left")
    for heading in ("what", "which", "tensors", "values"):
        table.add_column(heading, justify="left" if heading.startswith("wh") else "right")
    for row in found.account:
        table.add_row(row.what, row.which, str(row.tensors), f"{row.values:,}")
    return table


if __name__ == "__main__":
    run_stage("train_noise", train_noise)
