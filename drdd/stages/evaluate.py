"""evaluate: the candidate model, deployed on Ray Serve, restores every held-out picture."""

import time
from collections.abc import Iterator, Mapping, Sequence

from ray.serve.handle import DeploymentHandle

from drdd.checkpoints.folder import save_model
from drdd.checkpoints.trained import read_trained
from drdd.cluster import ray_cluster
from drdd.data.library import Library
from drdd.data.pairs import HOLDOUT, Pair
from drdd.data.pictures import covering
from drdd.params import Params
from drdd.progress import Reporter
from drdd.serving.app import candidate
from drdd.stages.paths import CANDIDATE, NOISE, RESIDUAL, WEIGHTS
from drdd.stages.prepared import paired, whereabouts
from drdd.stages.results import Restored, write_results
from drdd.stages.run import run_stage
from drdd.training.networks import sampling_of


def evaluate(params: Params, reporter: Reporter) -> None:
    _assemble(params)
    held = paired(params.tasks, HOLDOUT)
    library = Library(whereabouts(held))
    total = sum(map(len, held.values()))
    with ray_cluster(cpus=1), candidate(CANDIDATE, params.serve.threads) as handle:
        results = []
        for restored in _restore(handle, held, library):
            results.append(restored)
            reporter.update(len(results), total, "pictures", restored.task)
    expected = {task: [pair.image for pair in pairs] for task, pairs in held.items()}
    write_results(params, results, expected)


def _assemble(params: Params) -> None:
    """The candidate model folder: exactly what publish would publish."""
    noise, noise_networks = read_trained(NOISE / WEIGHTS)
    residual, residual_networks = read_trained(RESIDUAL / WEIGHTS)
    save_model(
        CANDIDATE,
        noise | residual,
        noise_networks | residual_networks,
        sampling_of(params),
        sorted(params.tasks),
    )


def _restore(
    handle: DeploymentHandle, held: Mapping[str, Sequence[Pair]], library: Library
) -> Iterator[Restored]:
    """One picture at a time, so that the latency is a picture's own."""
    first = next(iter(held.values()))[0]
    handle.restore.remote(library.pixels(first.input)).result()  # warm-up: the first call allocates
    for task, pairs in held.items():
        for pair in pairs:
            degraded, target = library.pixels(pair.input), library.pixels(pair.target)
            begin = time.monotonic()
            restoration = handle.restore.remote(degraded).result()
            seconds = time.monotonic() - begin
            target = covering(target, degraded.shape)  # of another size where scenes differ
            yield Restored(task, pair, degraded, target, restoration, seconds)


if __name__ == "__main__":
    run_stage("evaluate", evaluate)
