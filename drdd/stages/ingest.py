"""ingest@corpus: a source of images becomes verified shards, a split and a quarantine list."""

import sys

import pandas as pd

from drdd.data.intake import Limits, take_in
from drdd.data.shards import HOLDOUT, TRAIN, Row, write_corpus
from drdd.data.sources import read_images
from drdd.data.split import hold_out
from drdd.errors import UserError
from drdd.files import write_bytes, write_json
from drdd.params import Params
from drdd.progress import Reporter
from drdd.stages.paths import CORPORA
from drdd.stages.run import run_stage


def ingest(params: Params, reporter: Reporter, name: str) -> None:
    corpus, folder = params.corpora[name], CORPORA / name
    limits = Limits(**params.ingest.model_dump())
    photographs, rejected = take_in(read_images(corpus.source), limits)
    if not photographs:
        reasons = "; ".join(f"{r.name}: {r.reason}" for r in rejected[:5])
        raise UserError(f"corpora.{name}: none of {len(rejected)} files is usable ({reasons})")
    training, held = hold_out(photographs, corpus.holdout, name)
    write_corpus(folder / TRAIN, (Row(name, p) for p in training))
    write_corpus(folder / HOLDOUT, (Row(name, p) for p in held))
    quarantine = pd.DataFrame([(r.name, r.reason) for r in rejected], columns=["name", "reason"])
    write_bytes(folder / "quarantine.csv", quarantine.to_csv(index=False).encode())
    write_json(
        folder / "card.json",
        {
            "corpus": name,
            "source": corpus.source,
            "train": [p.name for p in training],
            "holdout": [p.name for p in held],
            "set_aside": len(rejected),
        },
    )
    note = f"{len(training)} photographs to train, {len(held)} held out"
    if rejected:
        note += f", {len(rejected)} set aside (see {folder / 'quarantine.csv'})"
        note += ": " + "; ".join(f"{r.name}: {r.reason}" for r in rejected[:5])
    reporter.finish("done", note)


if __name__ == "__main__":
    corpus_name = sys.argv[1]
    run_stage(
        f"ingest@{corpus_name}", lambda params, reporter: ingest(params, reporter, corpus_name)
    )
