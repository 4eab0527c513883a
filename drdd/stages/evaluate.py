"""evaluate: restore every held-out picture with the candidate model, deployed on Ray Serve."""

import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pyarrow as pa
from ray.serve.handle import DeploymentHandle

from drdd.checkpoints.folder import TaskUse, save_model
from drdd.checkpoints.trained import read_trained
from drdd.cluster.connection import ray_cluster
from drdd.data.library import Library
from drdd.data.pairs import HOLDOUT, read_pairs
from drdd.data.shards import read_known
from drdd.evaluation.held_out import HeldOutBatch, Restored, batches
from drdd.evaluation.results import Results
from drdd.evaluation.seen import seen_by_base
from drdd.inference.options import Options
from drdd.metrics.measures import Measures
from drdd.params import SCRATCH, Params
from drdd.pictures.files import covering
from drdd.progress import Reporter
from drdd.serving.app import candidate
from drdd.stages.paths import (
    CANDIDATE,
    CORPORA,
    GRID,
    IMAGES,
    LATENCY,
    MEMBERS,
    NOISE,
    PAIRS,
    REFERENCES,
    RESIDUAL,
    SETS,
    TRAJECTORIES,
    WEIGHTS,
)
from drdd.stages.prepared import Groups, paired, whereabouts
from drdd.stages.run import run_stage
from drdd.storage.versions import addresses, shared_folder
from drdd.training.settings import sampling_of


def evaluate(params: Params, reporter: Reporter) -> None:
    _assemble(params)
    held = paired(params.tasks, HOLDOUT)
    library = Library([*whereabouts(held), *addresses(REFERENCES / task for task in held)])
    corpora = {pair.corpus for pairs in held.values() for pair in pairs}
    known = read_known([*(PAIRS / task for task in held), *(CORPORA / name for name in corpora)])
    references = {
        task: {pair.input: pair.target for pair in read_pairs(REFERENCES / task / MEMBERS)}
        for task in held
    }
    weights = None if params.metrics.weights is None else Path(params.metrics.weights)
    measures = Measures(params.metrics.crop_border, weights)
    results = Results(params.seed, measures, _seen(params, held, known))
    total, done = sum(map(len, held.values())), 0
    shared = partial(shared_folder, "candidates")
    with ray_cluster(cpus=1), candidate(CANDIDATE, params.serve, shared) as handle:
        for batch in batches(held, known, params.serve.max_batch):
            for restored in _restored(handle, batch, library, references[batch.task]):
                results.add(restored)
                done += 1
                reporter.update(done, total, "pictures", batch.task)
    results.write(IMAGES, LATENCY, SETS, TRAJECTORIES, GRID)


def _seen(params: Params, held: Groups, known: pa.Table) -> dict[str, str]:
    """The held-out pictures that the base learned from; none where neither stage begins from it."""
    if {params.train.noise.start, params.train.residual.start} == {SCRATCH}:
        return {}
    targets = {pair.target: pair.image for pairs in held.values() for pair in pairs}
    return seen_by_base(targets, known)


def _assemble(params: Params) -> None:
    """Write the candidate model folder, which publish publishes as it is."""
    noise, residual = read_trained(NOISE / WEIGHTS), read_trained(RESIDUAL / WEIGHTS)
    save_model(
        CANDIDATE,
        {**noise.weights, **residual.weights},
        {**noise.networks, **residual.networks},
        sampling_of(params),
        {name: TaskUse(task.scale, task.fill()) for name, task in params.tasks.items()},
    )


def _restored(
    handle: DeploymentHandle, batch: HeldOutBatch, library: Library, references: Mapping[str, str]
) -> Iterator[Restored]:
    """Restore one batch. The latency of its pictures is that of the request, as a client sees it.

    references: by the id of an input, that of what the task's reference made of it; {} without one.
    """
    degraded = [library.pixels(pair.input) for pair in batch.pairs]
    options = Options(states=True, scale=batch.pairs[0].scale)
    begin = time.monotonic()
    restorations = handle.restore_batch.remote(degraded, options).result()
    seconds = time.monotonic() - begin
    for pair, sent, restoration in zip(batch.pairs, degraded, restorations, strict=True):
        target, pixels = library.sides(pair)
        target = covering(target, pixels.shape)  # the scenes of unaligned pairs differ in size
        reference = library.pixels(references[pair.input]) if references else None
        yield Restored(
            batch.task,
            pair,
            pixels,
            reference,
            target,
            restoration,
            seconds,
            len(batch.pairs),
            sent if pair.scale > 1 else None,
        )


if __name__ == "__main__":
    run_stage("evaluate", evaluate)
