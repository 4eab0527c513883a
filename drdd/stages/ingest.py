"""ingest@corpus: turn a source of clean images into shards, a data card and a quarantine table."""

import sys

from drdd.data.pairs import Pair
from drdd.errors import UserError
from drdd.files import atomic_folder
from drdd.intake.ingestion import Deduplicator
from drdd.params import Params
from drdd.params.data import drawn_by
from drdd.progress import Reporter
from drdd.sources.listing import entries
from drdd.stages.corpora import describe, into_shards, limits, some
from drdd.stages.paths import CORPORA
from drdd.stages.run import run_stage


def ingest(params: Params, reporter: Reporter, name: str) -> None:
    corpus = params.corpora[name]
    listing = entries(corpus.source, corpus.include, corpus.column)
    files = listing.files

    def progress(done: int) -> None:
        reporter.update(done, len(files), "files")

    with atomic_folder(CORPORA / name) as folder:
        deduplicator = Deduplicator(params.ingest.near_duplicates)
        limited = limits(params.ingest, corpus.max_side)
        result = into_shards(files, limited, folder, deduplicator, progress)
        rejected = [*result.rejected, *listing.set_aside]
        if not result.ids:
            raise UserError(
                f"corpora.{name}: none of {len(files)} files is usable ({some(rejected)})"
            )
        pictures = [Pair(name, file, id_) for file, id_ in result.ids.items()]
        drawn = " (synthetic: drawn, not photographed)" if drawn_by(corpus.source) else ""
        source = corpus.source + drawn
        said = describe(folder, name, corpus, [source], pictures, rejected, listing.counted)
    reporter.finish("done", said)


if __name__ == "__main__":
    corpus_name = sys.argv[1]
    run_stage(
        f"ingest@{corpus_name}", lambda params, reporter: ingest(params, reporter, corpus_name)
    )
