"""synthetic@name: draw clean pictures into data/synthetic/<name>, to be the source of a corpus."""

import sys

from drdd.files import atomic_folder
from drdd.params import Params
from drdd.pictures.files import quick_png
from drdd.progress import Reporter
from drdd.stages.paths import SYNTHETIC
from drdd.stages.run import run_stage
from drdd.synthetic.dead_leaves import dead_leaves
from drdd.synthetic.night_sky import night_sky

DRAW = {"dead_leaves": dead_leaves, "night_sky": night_sky}


def synthetic(params: Params, reporter: Reporter, name: str) -> None:
    drawn = params.synthetic[name]
    with atomic_folder(SYNTHETIC / name) as folder:
        for number in range(drawn.count):
            pixels = DRAW[drawn.kind](drawn.seed, number, drawn.height, drawn.width)
            (folder / f"{number:06}.png").write_bytes(quick_png(pixels))
            reporter.update(number + 1, drawn.count, "pictures")
    reporter.finish("done", f"{drawn.count} pictures drawn")


if __name__ == "__main__":
    synthetic_name = sys.argv[1]
    run_stage(
        f"synthetic@{synthetic_name}",
        lambda params, reporter: synthetic(params, reporter, synthetic_name),
    )
