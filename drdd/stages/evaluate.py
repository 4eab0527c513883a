"""evaluate: the candidate model, deployed on Ray Serve, restores every held-out picture."""

import time
from collections.abc import Iterator, Mapping, Sequence

from ray.serve.handle import DeploymentHandle
from safetensors.torch import load_file
from torch import Tensor

from drdd.cluster import ray_cluster
from drdd.data.shards import HOLDOUT, PairRow, read_pairs
from drdd.nets.model import save_model
from drdd.params import Params
from drdd.progress import Reporter
from drdd.serving.app import candidate
from drdd.stages.paths import CANDIDATE, NOISE, PAIRS, RESIDUAL
from drdd.stages.results import Restored, image_name, write_results
from drdd.stages.run import run_stage
from drdd.training.networks import networks, sampling_of


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
    noise, residual = (load_file(folder / "weights.safetensors") for folder in (NOISE, RESIDUAL))
    configs = networks(params)
    if params.method == "coupled" and len(configs) == 2:
        weights = {part: _under(f"{part}.", residual) for part in configs}
    else:
        weights = {"residual": residual, "noise": noise}
    save_model(
        CANDIDATE,
        {part: weights[part] for part in configs},
        configs,
        sampling_of(params),
        sorted(params.tasks),
    )


def _under(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


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
