"""prepare@task: the task's pairs, made once: training pairs as its share allows, one of each held-out."""

import sys

from drdd.data.shards import HOLDOUT, TRAIN, PairRow, Row, read_corpus, write_pairs
from drdd.data.split import choose_pairs
from drdd.errors import UserError
from drdd.files import write_json
from drdd.params import Params
from drdd.progress import Reporter
from drdd.stages.paths import CORPORA, PAIRS
from drdd.stages.run import run_stage
from drdd.tasks.catalogue import degrade


def prepare(params: Params, reporter: Reporter, name: str) -> None:
    task = params.tasks[name]
    chain = [step.model_dump() for step in task.degradation]

    def pairs(row: Row, split: str, variants: list[int]) -> PairRow:
        photograph = row.photograph
        keys = [(params.seed, split, name, photograph.id, variant) for variant in variants]
        return PairRow(row, [degrade(photograph.pixels, chain, *key) for key in keys])

    training, held = (
        [row for corpus in task.corpora for row in read_corpus(CORPORA / corpus / split)]
        for split in (TRAIN, HOLDOUT)
    )
    if not held:
        raise UserError(
            f"tasks.{name}: none of its corpora ({', '.join(task.corpora)}) holds a photograph out "
            "to judge it by; set corpora.<name>.holdout of one of them"
        )
    every = {(row.photograph.id, v) for row in training for v in range(task.variants)}
    chosen = choose_pairs([f"{id_}/{v}" for id_, v in every], task.pairs)
    used = {
        row.photograph.id: [v for v in range(task.variants) if f"{row.photograph.id}/{v}" in chosen]
        for row in training
    }
    write_pairs(
        PAIRS / name / TRAIN,
        (pairs(row, TRAIN, used[row.photograph.id]) for row in training if used[row.photograph.id]),
    )
    write_pairs(PAIRS / name / HOLDOUT, (pairs(row, HOLDOUT, [0]) for row in held))
    write_json(
        PAIRS / name / "card.json",
        {"task": name, "train_pairs": len(chosen), "of": len(every), "holdout_pairs": len(held)},
    )


if __name__ == "__main__":
    task_name = sys.argv[1]
    run_stage(f"prepare@{task_name}", lambda params, reporter: prepare(params, reporter, task_name))
