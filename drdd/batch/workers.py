"""Several workers by Ray Data, on the cluster at RAY_ADDRESS or else on a private one."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import ray.data

from drdd.batch.ledger import Record
from drdd.batch.planned import PlannedFile
from drdd.batch.worker import BatchRestorer, Recipe
from drdd.cluster.connection import ray_cluster
from drdd.intake.streaming import cause, here_if_local, settle_ray_data


class _Actor:
    """A BatchRestorer as an actor of Ray Data."""

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
    """Yield one record per file, in order of completion.

    share: number of files in a share of a worker; arguments: of each BatchRestorer.
    """
    recipe, output, _, _, threads = arguments
    # Without this, Ray warns on stderr about the arguments of each actor pool of Ray Data.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    with ray_cluster(cpus=workers * threads):
        settle_ray_data(in_order=False)
        places = [file.entry.where for file in files] + [output, recipe.model]
        places += [recipe.maps] if recipe.maps else []
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
