"""`python -m infra.base.before FILE`: the mean PSNR of the base that is there, by task, as JSON.

Of the held-out pictures of the project in this folder, restored as `evaluate` does.
"""

from pathlib import Path
from statistics import mean

import typer

from drdd.base.shipped import base_folder
from drdd.data.library import Library, PicturePairs
from drdd.data.pairs import HOLDOUT
from drdd.files import write_json
from drdd.inference.engine import Restorer
from drdd.metrics.fidelity import psnr_rgb
from drdd.params import load
from drdd.stages.prepared import paired, whereabouts


def main(file: Path) -> None:
    """Write the mean PSNR of the base to FILE, by task."""
    restorer = Restorer.from_folder(base_folder())
    held = paired(load().tasks, HOLDOUT)
    library = Library(whereabouts(held))
    psnr = {
        task: mean(
            psnr_rgb(restorer.restore(degraded).output, target)
            for target, degraded in PicturePairs(library, pairs)
        )
        for task, pairs in held.items()
    }
    write_json(file, psnr)


if __name__ == "__main__":
    typer.run(main)
