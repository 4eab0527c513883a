"""The overheads of training: the loop, Ray, checkpoints, points, waiting for data, the launch.

`python -m benchmarks.train` (`make bench-train`) trains the noise stage of the workspace on its prepared
data with 1 and 2 workers and in a baseline loop of PyTorch (baseline_loop.py), interleaved, and prints
their ratios. --rounds: turns of each; --laps: laps (of 10 steps) of a turn.
Results: benchmarks/results/train/<processor>-<cores>-cores.json.

--device cuda: instead, the paper's networks on a GPU (gpu.py), for which Ray is not needed.
Results: benchmarks/results/train/<device>.json.
"""

import argparse
import json
import multiprocessing
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import torch

RESULTS = Path("benchmarks/results/train")
CORES = os.cpu_count() or 1


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--laps", type=int, default=2, help="of each turn")
    given = parser.parse_args()
    if given.device == "cuda":
        on_gpu()
    else:
        on_cpu(given.rounds, given.laps)


def on_gpu() -> None:
    if not torch.cuda.is_available():
        print("There is no CUDA device here: nothing was measured.")
        return
    from benchmarks.gpu import measured

    name = torch.cuda.get_device_name()
    found = measured(torch.device("cuda"))
    write(name, {"device": name, **machine(), "cuda": torch.version.cuda, "cases": found})
    for case, taken in found.items():
        said = (f"{key} {value:.4g}" for key, value in taken.items() if isinstance(value, float))
        print(case, *said, sep="  ")


def on_cpu(rounds: int, laps: int) -> None:
    from benchmarks.fit_timing import costs
    from benchmarks.model import device_name
    from benchmarks.starting import started

    os.environ.pop("RAY_ADDRESS", None)
    os.environ.pop("DRDD_CHECKPOINTS", None)
    name = f"{device_name(torch.device('cpu'))}, {CORES} cores"
    result: dict[str, Any] = {"device": name, **machine(), "load at the start": os.getloadavg()}
    starts: dict[str, list[dict[str, float]]] = {"private cluster": [], "running cluster": []}
    for turn in range(2):
        told(f"start with a private cluster {turn + 1}/2")
        starts["private cluster"].append(started({}).phases())
    with running_cluster() as address:
        for turn in range(2):
            told(f"start with a running cluster {turn + 1}/2")
            starts["running cluster"].append(started({"RAY_ADDRESS": address}).phases())
        os.environ["RAY_ADDRESS"] = address
        result |= {f"{threads} threads": beside(threads, rounds, laps) for threads in (1, 2)}
    del os.environ["RAY_ADDRESS"]
    result |= {"start": starts, "costs": vars(costs()), "load at the end": os.getloadavg()}
    print(write(name, result))
    from benchmarks.train_tables import show

    show(result)


def beside(threads: int, rounds: int, laps: int) -> dict[str, list[Any]]:
    """One worker of `threads` threads beside our loop alone and the baseline loop; raw, by round.

    Seconds a step of every lap; of `fitted`, `Run`s. For 2 threads, 2 workers of 1 thread as well.
    """
    from benchmarks.fit_timing import fitted_run
    from benchmarks.interleaved import baseline, interleaved, our_loop, our_loop_niced
    from benchmarks.jobs import noise_job

    endless = noise_job(threads=threads, images=10_000 * noise_job().params.train.noise.batch)
    runners = {"bare": baseline, "loop": our_loop, "loop, niced": our_loop_niced}
    fitted_runs = {"fitted": (1, threads)} | ({"fitted, 2 workers": (2, 1)} if threads == 2 else {})
    found: dict[str, list[Any]] = {name: [] for name in (*runners, "between", *fitted_runs)}
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(interleaved(run, endless)) for name, run in runners.items()
        }
        for turn in range(rounds):
            told(f"{threads} threads, round {turn + 1}/{rounds}")
            order = [*runners, *fitted_runs]
            for name in order if turn % 2 == 0 else reversed(order):
                if name in fitted_runs:
                    found[name].append(vars(fitted_run(*fitted_runs[name], laps)))
                    continue
                taken = processes[name].take(laps)
                found[name].append([lap.step for lap in taken])
                if name == "loop":
                    found["between"].append(median(lap.between for lap in taken))
    return found


@contextmanager
def running_cluster() -> Iterator[str]:
    """The address of a Ray cluster in a process of its own, of as many CPUs as this machine."""
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=_hold, args=(its,))
    process.start()
    its.close()
    try:
        yield mine.recv()
    finally:
        mine.close()
        process.join()


def _hold(connection: Connection) -> None:
    from drdd.cluster.connection import ray_cluster

    with ray_cluster(CORES):
        import ray

        connection.send(ray.get_runtime_context().gcs_address)
        connection.poll(None)  # until the other end is closed


def machine() -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version(), "torch": torch.__version__}
    try:
        versions["ray"] = version("ray")
    except PackageNotFoundError:
        versions["ray"] = "none"
    return {"cores": CORES, "versions": versions}


def write(name: str, result: Mapping[str, Any]) -> Path:
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path


def told(what: str) -> None:
    print(f"\r{what:60}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
