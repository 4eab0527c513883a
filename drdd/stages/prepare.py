"""prepare@task: choose the task's share of the training pairs, and all held-out pairs.

Degraded inputs are made here, once; pairs of paired corpora are only selected.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

from PIL import Image

from drdd.data.library import Library
from drdd.data.pairs import HOLDOUT, TRAIN, Pair, choose_pairs, read_pairs, write_pairs
from drdd.data.shards import ShardWriter, table_of, writing
from drdd.degradations.chain import degrade
from drdd.files import atomic_folder, write_json
from drdd.params import Params, Task
from drdd.pictures.files import quick_png
from drdd.pictures.pixels import described
from drdd.pictures.scaling import reduced
from drdd.progress import Reporter
from drdd.stages.paths import CORPORA, MEMBERS, PAIRS, SPLIT
from drdd.stages.run import run_stage
from drdd.storage.versions import addresses


def prepare(params: Params, reporter: Reporter, name: str) -> None:
    task = params.tasks[name]
    every = read_pairs(SPLIT / "tasks" / f"{name}.csv")
    training, held = ([p for p in every if p.split == side] for side in (TRAIN, HOLDOUT))
    if not task.paired:
        training = [replace(p, variant=v) for p in training for v in range(task.inputs())]
    chosen = choose_pairs([_key(pair) for pair in training], task.pairs)
    used = [*(pair for pair in training if _key(pair) in chosen), *held]
    with atomic_folder(PAIRS / name) as folder, writing(folder) as writer:
        if not task.paired:
            used = list(_degraded(params, name, task, used, writer, reporter))
        write_pairs(folder / MEMBERS, used)
        write_json(
            folder / "card.json",
            {
                "task": name,
                "train_pairs": len(used) - len(held),
                "of": len(training),
                "holdout_pairs": len(held),
            },
        )


def _key(pair: Pair) -> str:
    """The key by which a subset is chosen; it depends on the content only."""
    return f"{pair.target}/{pair.input or pair.variant}"


def _degraded(
    params: Params,
    name: str,
    task: Task,
    pairs: Sequence[Pair],
    writer: ShardWriter,
    reporter: Reporter,
) -> Iterator[Pair]:
    library = Library(addresses(CORPORA / corpus for corpus in task.corpora))
    chain = [step.model_dump() for step in task.degradation]
    written: set[str] = set()
    for done, pair in enumerate(pairs, 1):
        key = (params.seed, pair.split, name, pair.target, pair.variant)
        small = reduced(library.pixels(pair.target), task.scale)
        pixels = degrade(small, chain, *key, order=task.order)
        picture = described(pair.name, quick_png(pixels), Image.fromarray(pixels))
        if picture.id not in written:
            writer.write(table_of([picture]))
            written.add(picture.id)
        reporter.update(done, len(pairs), "pairs")
        yield replace(pair, input=picture.id, scale=task.scale)


if __name__ == "__main__":
    task_name = sys.argv[1]
    run_stage(f"prepare@{task_name}", lambda params, reporter: prepare(params, reporter, task_name))
