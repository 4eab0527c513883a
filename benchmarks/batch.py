"""Many files through `drdd restore`, timed from the first share that is done to the last."""

import math
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from drdd.batch.ledger import RestoreLedger
from drdd.batch.plan import plan
from drdd.batch.run import SHARE, TURNS, restore_all
from drdd.batch.worker import Recipe, weights_of
from drdd.inference.options import Options
from drdd.pictures.files import png
from drdd.pictures.pixels import Pixels
from drdd.progress import Reporter
from drdd.storage.objects import Store


class _Watch(Reporter):
    """When each picture was known to be done."""

    def __init__(self, root: Path) -> None:
        super().__init__("restore", root)
        self.moments: list[float] = []

    def update(self, done: int, total: int, unit: str, note: str = "") -> None:
        self.moments.append(time.perf_counter())


def enough(pictures: float) -> int:
    """At least so many files, and so many that a worker is given whole shares."""
    return SHARE * max(TURNS, math.ceil(pictures / SHARE))


def write_copies(folder: Path, picture: Pixels, count: int) -> None:
    """So many PNG files of the same pixels."""
    folder.mkdir()
    content = png(picture)
    for number in range(count):
        (folder / f"{number:05}.png").write_bytes(content)


def by_batch(inputs: Path, model: Path, threads: int, batch: int) -> float:
    """Pictures a second, from files to files, by one worker that has begun. inputs: of enough(...)."""
    with TemporaryDirectory() as scratch:
        output = str(Path(scratch) / "out")
        recipe = Recipe(str(model), weights_of(model), Options(), ".png")
        watch = _Watch(Path(scratch))
        files = plan([str(inputs)], output, recipe.suffix).files
        records = restore_all(files, RestoreLedger(Store(output)), recipe, watch, 1, threads, batch)
        if bad := [record for record in records if record.problem]:
            raise RuntimeError(f"{bad[0].input}: {bad[0].problem}")
    first, last = watch.moments[SHARE - 1], watch.moments[-1]
    return (len(files) - SHARE) / (last - first)
