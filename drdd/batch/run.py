"""Many files through the workers of Ray Data, and a ledger of what became of each."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from drdd.batch.ledger import Ledger, Record
from drdd.batch.plan import Job
from drdd.batch.worker import Recipe, Worker
from drdd.cluster.session import ray_cluster
from drdd.intake.streaming import cause, here_if_local, settle_ray_data
from drdd.progress import Reporter

SHARE = 32  # files that a worker is given at once, at most: it reports when all are done
TURNS = 8  # shares of a worker, at least, where there are enough files


def restore_all(
    jobs: Sequence[Job],
    ledger: Ledger,
    recipe: Recipe,
    reporter: Reporter,
    workers: int = 1,
    threads: int = 1,
    batch: int = 8,
) -> list[Record]:
    """A record of each job; those that an earlier run did and that still are as they were are kept.

    ledger: of the output's root. Raises TransientError when a store stops answering; what was done till
    then is in it.
    """
    known = {
        job.entry.name: ledger.records[job.entry.name]
        for job in jobs
        if job.entry.name in ledger.records
    }
    found: list[Record] = []
    # Else Ray says on stderr, of every pool of Ray Data's own making, that it might lose its arguments.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        with ray_cluster(cpus=workers * threads):
            for record in _streamed(jobs, ledger.uri, recipe, known, workers, threads, batch):
                ledger.add(record)
                found.append(record)
                reporter.update(len(found), len(jobs), "pictures", record.input)
    finally:
        ledger.write()
    return found


class _OfRay:
    """A Worker as Ray Data's actors hold it."""

    def __init__(self, *arguments: Any) -> None:
        self._worker = Worker(*arguments)

    def __call__(self, share: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for record in self._worker.records(list(share["item"])):
            yield {name: [value] for name, value in asdict(record).items()}


def _streamed(
    jobs: Sequence[Job],
    output: str,
    recipe: Recipe,
    known: Mapping[str, Record],
    workers: int,
    threads: int,
    batch: int,
) -> Iterator[Record]:
    import ray.data

    settle_ray_data(in_order=False)
    share = max(batch, min(SHARE, -(-len(jobs) // (TURNS * workers))))
    places = [job.entry.where for job in jobs] + [output, recipe.model]
    items = ray.data.from_items(list(jobs), override_num_blocks=-(-len(jobs) // share))
    stream = items.map_batches(
        _OfRay,
        fn_constructor_args=(recipe, output, known, batch, threads),
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=threads,
        label_selector=here_if_local(places),
    )
    try:
        for row in stream.iter_rows():
            yield Record(**row)
    except Exception as error:
        raise cause(error) from error
