"""`python -m infra.base.pack FOLDER`: makes a model folder, such as models/candidate, the base that ships.

It writes drdd/base/model with weights in float16, and drdd/base/base.json with the hashes of its files. The
same model gives the same bytes.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
import typer
from torch import Tensor

from drdd.base.shipped import HASHES, MODEL, sha256_of
from drdd.checkpoints.folder import CONFIG, WEIGHTS, load_model, read_model, save_model
from drdd.errors import UserError
from drdd.files import write_json
from drdd.params.schema import BASE_METHOD


def pack(folder: Path, model: Path = MODEL) -> int:
    """Write `model` and, beside it and last, base.json; returns the bytes of all files.

    Raises UserError, before anything is written, unless `folder` is a model of method drdd whose weights
    float16 can hold.
    """
    load_model(folder)  # its weights fit its configuration
    saved = read_model(folder)
    if saved.sampling.method != BASE_METHOD:
        raise UserError(
            f"{folder} is a model of method {saved.sampling.method!r}, and the base is of {BASE_METHOD!r}",
            "name the candidate of a run with that method",
        )
    for part, weights in saved.weights.items():
        _demand_float16(folder, part, weights)
    # Its own holes are of any grey and it does not fill them (its card), so it sees them filled smoothly.
    tasks = {name: replace(use, fill=None) for name, use in saved.tasks.items()}
    save_model(model, saved.weights, saved.networks, saved.sampling, tasks, dtype=torch.float16)
    files = [model / CONFIG, model / WEIGHTS]
    write_json(model.with_name(HASHES), {path.name: sha256_of(path) for path in files})
    return sum(path.stat().st_size for path in files)


def _demand_float16(folder: Path, part: str, weights: Mapping[str, Tensor]) -> None:
    wrong = [name for name, value in weights.items() if not value.half().isfinite().all()]
    if wrong:
        raise UserError(
            f"{folder}: {wrong[0]} of the {part} network holds values that are not finite in float16",
            "train it again, with a lower learning rate",
        )


def main(folder: Path) -> None:
    """Make the model in FOLDER the base that ships. `make base` does it, with the card."""
    size = pack(folder)
    sys.stderr.write(f"{MODEL} holds the base, {size / 1e6:.1f} MB\n")


if __name__ == "__main__":
    try:
        typer.run(main)
    except UserError as error:
        sys.exit(str(error))
