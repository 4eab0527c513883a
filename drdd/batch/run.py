"""Restore many files in this process or several workers, and keep a ledger.

An interrupted batch resumes.
"""

from collections.abc import Iterator, Mapping, Sequence

from drdd.batch.ledger import Record, RestoreLedger
from drdd.batch.planned import PlannedFile
from drdd.batch.worker import BatchRestorer, Recipe
from drdd.progress import Reporter

SHARE = 32  # maximum files in a share of a worker, which reports when all of them are done
TURNS = 8  # minimum shares per worker, if there are enough files


def restore_all(
    files: Sequence[PlannedFile],
    ledger: RestoreLedger,
    recipe: Recipe,
    reporter: Reporter,
    workers: int = 1,
    threads: int = 1,
    batch: int = 8,
) -> list[Record]:
    """Restore files and return a record of each. Unchanged results of earlier runs are kept.

    ledger: of the output root; workers: more than one run in processes of Ray. Raises TransientError when a
    store stops answering; the ledger then has the files that are done.
    """
    known = {
        file.entry.name: ledger.records[file.entry.name]
        for file in files
        if file.entry.name in ledger.records
    }
    found: list[Record] = []
    share = max(batch, min(SHARE, -(-len(files) // (TURNS * workers))))
    arguments = (recipe, ledger.uri, known, batch, threads)
    try:
        for record in _records(files, share, workers, arguments):
            ledger.add(record)
            found.append(record)
            reporter.update(len(found), len(files), "pictures", record.input)
    finally:
        ledger.write()
    return found


def _records(
    files: Sequence[PlannedFile],
    share: int,
    workers: int,
    arguments: tuple[Recipe, str, Mapping[str, Record], int, int],
) -> Iterator[Record]:
    """Yield a record per file. arguments: of each BatchRestorer."""
    if workers > 1:
        from drdd.batch.workers import records

        yield from records(files, share, workers, arguments)
        return
    restorer = BatchRestorer(*arguments)
    for first in range(0, len(files), share):
        yield from restorer.records(files[first : first + share])
