"""Many files restored, by this process or by several workers, and a ledger of what became of each."""

from collections.abc import Iterator, Mapping, Sequence

from drdd.batch.ledger import Record, RestoreLedger
from drdd.batch.plan import PlannedFile
from drdd.batch.worker import BatchRestorer, Recipe
from drdd.progress import Reporter

SHARE = 32  # files that a worker is given at once, at most: it reports when all are done
TURNS = 8  # shares of a worker, at least, where there are enough files


def restore_all(
    files: Sequence[PlannedFile],
    ledger: RestoreLedger,
    recipe: Recipe,
    reporter: Reporter,
    workers: int = 1,
    threads: int = 1,
    batch: int = 8,
) -> list[Record]:
    """A record of each file; those that an earlier run did and that still are as they were are kept.

    ledger: of the output's root; workers: several are processes of Ray's. Raises TransientError when a
    store stops answering; what was done till then is in the ledger.
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
    """arguments: of each BatchRestorer."""
    if workers > 1:
        from drdd.batch.workers import records

        yield from records(files, share, workers, arguments)
        return
    restorer = BatchRestorer(*arguments)
    for first in range(0, len(files), share):
        yield from restorer.records(files[first : first + share])
