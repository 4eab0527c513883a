"""The noise stage of the workspace, with its prepared data, as benchmarks train it."""

from drdd.data.pairs import HOLDOUT, TRAIN
from drdd.errors import UserError
from drdd.params import load
from drdd.stages.paths import UNPAIRED, UNPAIRED_HELD_OUT
from drdd.stages.prepared import unpaired, whereabouts
from drdd.storage.versions import versioned
from drdd.training.job import Job


def noise_job(validated: bool = False, **changes: object) -> Job:
    """By params.yaml of the current folder; changes: to train.noise.

    validated: on its held-out pictures, as often as the params say; else never.
    Raises UserError when there are no prepared data.
    """
    if missing := [str(file) for file in (UNPAIRED, UNPAIRED_HELD_OUT) if not file.exists()]:
        raise UserError(
            f"{', '.join(missing)}: there is no such file; run `dvc repro split` to prepare the data"
        )
    params = load()
    noise = params.train.noise
    changed = noise.model_dump() | ({} if validated else {"validate_every": None}) | changes
    train = params.train.model_copy(update={"noise": noise.model_validate(changed)})
    data, held = unpaired(TRAIN), unpaired(HOLDOUT) if validated else {}
    shards = versioned(whereabouts(data, held))
    return Job("noise", params.model_copy(update={"train": train}), data, held, shards)
