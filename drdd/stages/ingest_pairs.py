"""ingest_pairs@corpus: turn degraded and clean images into shards, a table of pairs and a data card."""

import sys

from drdd.errors import UserError
from drdd.files import atomic_folder
from drdd.intake.ingestion import keep_all
from drdd.intake.pairing import both_sides, files_of, pair_up
from drdd.params import Params
from drdd.progress import Reporter
from drdd.sources.matching import match
from drdd.stages.corpora import describe, into_shards, paired_limits, some
from drdd.stages.paths import CORPORA
from drdd.stages.run import run_stage


def ingest_pairs(params: Params, reporter: Reporter, name: str) -> None:
    paired = params.paired[name]
    matching = match(paired, name)
    matched = both_sides(matching.pairs)
    files = files_of(matched)

    def progress(done: int) -> None:
        reporter.update(done, len(files), "files")

    with atomic_folder(CORPORA / name) as folder:
        result = into_shards(
            files, paired_limits(params.ingest, paired), folder, keep_all, progress
        )
        pairs, unpaired = pair_up(name, matched, result, paired.aligned, paired.scale)
        rejected = [*result.rejected, *unpaired, *matching.alone]
        if not pairs:
            raise UserError(
                f"paired.{name}: none of {len(matched)} pairs is usable ({some(rejected)})"
            )
        sources = [paired.input, paired.target]
        said = describe(folder, name, paired, sources, pairs, rejected, matching.counted)
    reporter.finish("done", said)


if __name__ == "__main__":
    corpus_name = sys.argv[1]
    run_stage(
        f"ingest_pairs@{corpus_name}",
        lambda params, reporter: ingest_pairs(params, reporter, corpus_name),
    )
