"""evaluate: the candidate model, deployed on Ray Serve, restores every held-out picture."""

import time
from collections.abc import Iterator, Mapping, Sequence

from ray.serve.handle import DeploymentHandle

from drdd.checkpoints.folder import save_model
from drdd.checkpoints.trained import read_trained
from drdd.cluster import ray_cluster
from drdd.data.shards import HOLDOUT, PairRow, read_pairs
from drdd.params import Params
from drdd.progress import Reporter
from drdd.serving.app import candidate
from drdd.stages.paths import CANDIDATE, NOISE, PAIRS, RESIDUAL, WEIGHTS
from drdd.stages.results import Restored, image_name, write_results
from drdd.stages.run import run_stage
from drdd.training.networks import sampling_of


def evaluate(params: Params, reporter: Reporter) -> None:
    _assemble(params)
    held = {task: read_pairs(PAIRS / task / HOLDOUT) for task in sorted(params.tasks)}
    total = sum(map(len, held.values()))
    with ray_cluster(cpus=1), candidate(CANDIDATE, params.serve.threads) as handle:
        results = []
        for restored in _restore(handle, held):
            results.append(restored)
            reporter.update(len(results), total, "pictures", restored.task)
    expected = {task: [image_name(pair) for pair in pairs] for task, pairs in held.items()}
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


def _restore(handle: DeploymentHandle, held: Mapping[str, Sequence[PairRow]]) -> Iterator[Restored]:
    """One picture at a time, so that the latency is a picture's own."""
    first = next(iter(held.values()))[0]
    handle.restore.remote(first.degraded[0]).result()  # warm-up: the first call allocates
    for task, pairs in held.items():
        for pair in pairs:
            begin = time.monotonic()
            restoration = handle.restore.remote(pair.degraded[0]).result()
            yield Restored(task, pair, restoration, time.monotonic() - begin)


if __name__ == "__main__":
    run_stage("evaluate", evaluate)
