"""Decode many files in order and in bounded memory, in this process or by Ray Data on all cores."""

import atexit
import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

import pyarrow as pa

from drdd.cluster.connection import ray_cluster
from drdd.data.shards import SCHEMA, table_of
from drdd.errors import TransientError, UserError
from drdd.intake.decoding import Limits, decode_and_verify
from drdd.pictures.pixels import Picture
from drdd.sources.entry import Entry, Fetcher, Rejected

BATCH = 64
BLOCK = 128  # files of a task of Ray Data, whose overhead per task is not small
# Fewer files are done before a Ray cluster has started.
WORTH_A_CLUSTER = 400
OUTCOME = SCHEMA.append(pa.field("reason", pa.string()))


def decoded_files(
    entries: Sequence[Entry], limits: Limits, by_ray: bool | None = None
) -> Iterator[pa.Table]:
    """Yield tables of OUTCOME, with one row for each file in the order of `entries`.

    reason: why a file was rejected (all columns but its name are then null), null for a picture.
    by_ray: by default, WORTH_A_CLUSTER decides; the rows are the same either way.
    Raises TransientError when a store stops answering.
    """
    if len(entries) >= WORTH_A_CLUSTER if by_ray is None else by_ray:
        with ray_cluster(cpus=1):
            yield from _by_ray(entries, limits)
        return
    with Fetcher() as fetcher:
        for first in range(0, len(entries), BATCH):
            yield outcomes(entries[first : first + BATCH], fetcher, limits)


def outcomes(entries: Sequence[Entry], fetcher: Fetcher, limits: Limits) -> pa.Table:
    """`decoded_files` of a few files, as one table."""
    results = [outcome(entry, fetcher, limits) for entry in entries]
    pictures = [result for result in results if isinstance(result, Picture)]
    good = table_of(pictures).append_column(
        OUTCOME.field("reason"), pa.nulls(len(pictures), pa.string())
    )
    if len(pictures) == len(results):
        return good
    reasons = [
        {"name": entry.name, "reason": result}
        for entry, result in zip(entries, results, strict=True)
        if isinstance(result, str)
    ]
    both = pa.concat_tables([good, pa.Table.from_pylist(reasons, schema=OUTCOME)])
    counts = {True: 0, False: len(pictures)}
    order = []
    for result in results:
        kind = isinstance(result, Picture)
        order.append(counts[kind])
        counts[kind] += 1
    return both.take(order)


def outcome(entry: Entry, fetcher: Fetcher, limits: Limits) -> Picture | str:
    """The picture, or the reason for its rejection."""
    blob = fetcher.fetch(entry)
    if isinstance(blob, Rejected):
        return blob.reason
    try:
        return decode_and_verify(blob, limits)
    except ValueError as error:
        return str(error)


def _by_ray(entries: Sequence[Entry], limits: Limits) -> Iterator[pa.Table]:
    import ray.data

    settle_ray_data(in_order=True)
    items = ray.data.from_items(list(entries), override_num_blocks=-(-len(entries) // BLOCK))
    stream = items.map_batches(
        partial(_decoded_by_a_worker, limits=limits),
        batch_size=None,
        num_cpus=1,
        label_selector=here_if_local(entry.where for entry in entries),
    )
    try:
        yield from stream.iter_batches(batch_size=None, batch_format="pyarrow")
    except Exception as error:
        raise cause(error) from error


def settle_ray_data(in_order: bool) -> None:
    """Set up Ray Data without progress bars and logs, and with errors raised unwrapped.

    in_order: keep the order of blocks.
    """
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # errors are raised as well
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = in_order
    context.raise_original_map_exception = True  # a wrapped error would lose its type


def here_if_local(places: Iterable[str]) -> dict[str, str] | None:
    """The label of this node if any of `places` is a local file, which workers elsewhere cannot read."""
    import ray

    if all("://" in place for place in places):
        return None
    return {"ray.io/node-id": ray.get_runtime_context().get_node_id()}


def _decoded_by_a_worker(batch: dict[str, Any], limits: Limits) -> pa.Table:
    return outcomes(list(batch["item"]), _fetcher(), limits)


@lru_cache(maxsize=1)
def _fetcher() -> Fetcher:
    """One fetcher per worker process, so that each store is opened once."""
    fetcher = Fetcher()
    atexit.register(fetcher.__exit__)
    return fetcher.__enter__()


def cause(error: BaseException) -> BaseException:
    """The UserError or TransientError that Ray has wrapped; without one, `error` itself."""
    seen: BaseException | None = error
    while seen is not None:
        for one in (getattr(seen, "cause", None), seen):  # Ray's error is of its cause's class, too
            if isinstance(one, UserError | TransientError):
                return one
        seen = seen.__cause__
    return error
