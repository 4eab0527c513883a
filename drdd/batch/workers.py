"""Several workers on Ray Data: on the cluster that RAY_ADDRESS names, else on one of this process's own."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import ray.data

from drdd.batch.ledger import Record
from drdd.batch.plan import PlannedFile
from drdd.batch.worker import BatchRestorer, Recipe
from drdd.cluster.session import ray_cluster
from drdd.intake.streaming import cause, here_if_local, settle_ray_data


class _Actor:
    """A BatchRestorer as Ray Data's actors hold it."""

    def __init__(self, *arguments: Any) -> None:
        self._restorer = BatchRestorer(*arguments)

    def __call__(self, share: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for record in self._restorer.records(list(share["item"])):
            yield {name: [value] for name, value in asdict(record).items()}


def records(
    files: Sequence[PlannedFile],
    share: int,
    workers: int,
    arguments: tuple[Recipe, str, Mapping[str, Record], int, int],
) -> Iterator[Record]:
    """One record a file, in the order in which they are done.

    share: files that a worker is given at once; arguments: of each BatchRestorer.
    """
    recipe, output, _, _, threads = arguments
    # Else Ray says on stderr, of every pool of Ray Data's own making, that it might lose its arguments.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    with ray_cluster(cpus=workers * threads):
        settle_ray_data(in_order=False)
        places = [file.entry.where for file in files] + [output, recipe.model]
        items = ray.data.from_items(list(files), override_num_blocks=-(-len(files) // share))
        stream = items.map_batches(
            _Actor,
            fn_constructor_args=arguments,
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
