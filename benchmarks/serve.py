"""The service and `drdd restore` beside the bare model: throughput, latency, memory over many requests.

`python -m benchmarks.serve` (`make bench-serve`) serves the network of params.yaml with random weights on
a Ray cluster of its own, by serve.* of params.yaml but with one replica. The bare model restores batches
that are ready as tensors, with their noise, in a process of as many threads and of the nice value of Ray's
workers. They take turns, and in both of them a thread sleeps while it waits for another: one that spins is
many times slower on a machine with other work, which is not what is compared here.
--threads instead of serve.threads; --seconds of each turn, --rounds, --side of a picture, --requests for
the memory; --parts alone are measured, and what the results hold of others stays.
Results: benchmarks/results/serve/<processor>-<cores>-cores.json.
"""

import argparse
import json
import math
import multiprocessing
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.batch import by_batch, enough, write_copies
from benchmarks.interleaved import NICE
from benchmarks.loads import by_handle, closed, offered, summary, throughput
from benchmarks.model import device_name
from benchmarks.train import CORES, machine, told
from drdd.checkpoints.folder import load_model, save_model
from drdd.cluster.connection import ray_cluster
from drdd.methods import find
from drdd.nets.families import build
from drdd.params import Params, Serve, load
from drdd.pictures.files import png
from drdd.pictures.pixels import Pixels
from drdd.registry.registry import Registry
from drdd.training.settings import networks_of, sampling_of

RESULTS = Path("benchmarks/results/serve")
PARTS = ("throughput", "latency", "memory", "batch")
LOADS = (1, 2, 5)
TINY = 32  # pixels a side of the pictures that memory is measured with


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--side", type=int, default=256, help="of a picture, in pixels")
    parser.add_argument("--requests", type=int, default=10_000, help="for the memory")
    parser.add_argument("--threads", type=int, help="instead of serve.threads")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    given = parser.parse_args()
    params = load()
    settings = params.serve.model_copy(
        update={
            "threads": given.threads or params.serve.threads,
            "replicas": 1,
            "max_replicas": None,
            "models": ["champion"],
            "api_keys": None,
        }
    )
    os.environ["OMP_WAIT_POLICY"] = "passive"
    device = f"{device_name(torch.device('cpu'))}, {CORES} cores"
    path = RESULTS / f"{re.sub(r'[^a-z0-9]+', '-', device.lower()).strip('-')}.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    for part, values in measured(params, settings, given, found.get("throughput")):
        found |= {"device": device, **about(settings, given), part: values}
        show(part, found)
        RESULTS.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n")
    print(path)


def about(settings: Serve, given: argparse.Namespace) -> dict[str, Any]:
    return {
        **machine(),
        "threads": settings.threads,
        "max_batch": settings.max_batch,
        "side": given.side,
    }


def measured(
    params: Params,
    settings: Serve,
    given: argparse.Namespace,
    rates: dict[str, list[float]] | None,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each part and what was found. rates: the throughput as it was found before, if it was."""
    picture = _picture(given.side)
    with TemporaryDirectory() as scratch:
        folder = random_model(params, Path(scratch) / "model")
        with (
            baseline_model(folder, settings, given.side) as model,
            served(settings, folder) as service,
        ):
            url, handle = service
            if "throughput" in given.parts or rates is None:
                rates = _rates(given, settings, model, handle, url, picture)
                yield "throughput", rates
            if "latency" in given.parts:
                yield "latency", _latency(given, url, png(picture), median(rates["http"]))
            if "memory" in given.parts:
                yield "memory", _memory(url, given.requests, settings.max_batch)
        if "batch" in given.parts:
            with baseline_model(folder, settings, given.side) as model:
                yield "batch", _batch(given, settings, model, folder, picture)


def _rates(
    given: argparse.Namespace,
    settings: Serve,
    model: Connection,
    handle: Any,
    url: str,
    picture: Pixels,
) -> dict[str, list[float]]:
    """Pictures a second by round, of each way in turn."""
    body, at_once = png(picture), 3 * settings.max_batch
    rates: dict[str, list[float]] = {"bare": [], "handle": [], "http": []}
    for turn in range(given.rounds):
        told(f"round {turn + 1}/{given.rounds}")
        for way in rates if turn % 2 == 0 else reversed(list(rates)):
            if way == "bare":
                model.send(given.seconds)
                rate = model.recv()
            else:
                batches = math.ceil(given.seconds * max(rates["bare"]) / settings.max_batch)
                count = at_once + batches * settings.max_batch
                if way == "handle":
                    replies = by_handle(handle, picture, at_once, count)
                else:
                    replies = closed(url, body, at_once, count)
                rate = throughput(replies, at_once, settings.max_batch)
            rates[way].append(rate)
    return rates


def _latency(
    given: argparse.Namespace, url: str, body: bytes, capacity: float
) -> dict[str, dict[str, Any]]:
    """By how many times what the service can take was offered."""
    found = {}
    for times in LOADS:
        told(f"{times} x capacity")
        replies = offered(url, body, times * capacity, 2 * given.seconds)
        found[f"{times} x"] = asdict(summary(replies))
    return found


def _batch(
    given: argparse.Namespace,
    settings: Serve,
    model: Connection,
    folder: Path,
    picture: Pixels,
) -> dict[str, list[float]]:
    """Pictures a second by round; the bare model's before and after `drdd restore`, on average."""
    rates: dict[str, list[float]] = {"bare": [], "batch": []}
    model.send(given.seconds)
    before = model.recv()
    inputs = folder.parent / "pictures"
    write_copies(inputs, picture, enough(2 * given.seconds * before))
    for turn in range(given.rounds):
        told(f"drdd restore, {turn + 1}/{given.rounds}")
        rates["batch"].append(by_batch(inputs, folder, settings.threads, settings.max_batch))
        model.send(given.seconds)
        after = model.recv()
        rates["bare"].append((before + after) / 2)
        before = after
    return rates


def _memory(url: str, requests: int, batch: int) -> dict[str, float]:
    """Resident, of the replica, by the number of requests that it had answered."""
    (replica,) = (
        process
        for process in psutil.Process().children(recursive=True)
        if "ServeReplica:drdd" in " ".join(process.cmdline())
    )
    body, found = png(_picture(TINY)), {}
    step = max(1, requests // 10)
    for done in range(step, requests + 1, step):
        told(f"memory, {done}/{requests}")
        replies = closed(url, body, 2 * batch, step)
        if bad := [reply.status for reply in replies if reply.status != 200]:
            raise RuntimeError(f"{len(bad)} of {step} requests failed, the first with {bad[0]}")
        found[str(done)] = replica.memory_info().rss / 1e6
    return found


def random_model(params: Params, folder: Path) -> Path:
    """As the params describe it; speed does not depend on the weights."""
    of_stages = [networks_of(params, stage) for stage in find(params.method).stages]
    configs = {name: config for nets in of_stages for name, config in nets.items()}
    torch.manual_seed(0)
    weights = {part: build(config).state_dict() for part, config in configs.items()}
    save_model(folder, weights, configs, sampling_of(params), {})
    return folder


@contextmanager
def served(settings: Serve, folder: Path) -> Iterator[tuple[str, Any]]:
    """The address of restoration and a handle."""
    from infra.local.settings import free_port

    os.environ.pop("RAY_ADDRESS", None)
    port = free_port()
    os.environ["DRDD_SERVE_PORT"] = str(port)
    root = folder.parent
    registry = Registry.open(str(root / "registry"))
    version = registry.publish({path.name: path for path in folder.iterdir()}, {})
    registry.aliases.move("champion", version.id)
    with ray_cluster(CORES):
        from ray import serve

        from drdd.serving.app import SERVICE, deploy

        deploy(settings, registry.uri, root)
        yield f"http://127.0.0.1:{port}/v1/restore", serve.get_app_handle(SERVICE)


@contextmanager
def baseline_model(folder: Path, settings: Serve, side: int) -> Iterator[Connection]:
    """A process that is sent seconds, and answers with pictures a second."""
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    arguments = (folder, settings.threads, settings.max_batch, side, its)
    process = context.Process(target=_restore_for, args=arguments, daemon=True)
    process.start()
    its.close()
    try:
        yield mine
    finally:
        process.kill()
        process.join()


@torch.inference_mode()
def _restore_for(folder: Path, threads: int, batch: int, side: int, asked: Connection) -> None:
    os.nice(NICE)
    torch.set_num_threads(threads)
    model = load_model(folder)
    x = torch.rand(batch, 3, side, side).contiguous(memory_format=torch.channels_last) * 2 - 1
    noise = torch.randn_like(x)
    model.restore(x, lambda _: noise)
    while True:
        seconds: float = asked.recv()
        done, began = 0, time.perf_counter()
        while (taken := time.perf_counter() - began) < seconds:
            model.restore(x, lambda _: noise)
            done += batch
        asked.send(done / taken)


def show(part: str, found: dict[str, Any]) -> None:
    console = Console(width=110, highlight=False)
    if part == "memory":
        table = _table("requests", "MB resident")
        for count, size in found[part].items():
            table.add_row(count, f"{size:.1f}")
    elif part == "latency":
        table = _table("HTTP, offered", "p50 s", "p95 s", "p99 s", "restored", "503", "failed")
        for offer, of in found[part].items():
            seconds = (f"{of[name]:.2f}" for name in ("p50", "p95", "p99"))
            shares = (f"{of[name]:.1%}" for name in ("answered", "refused", "failed"))
            table.add_row(f"{offer} ({of['requests']} requests)", *seconds, *shares)
    else:
        console.print(
            f"{found['device']}, {found['threads']} threads, batches of {found['max_batch']}, "
            f"{found['side']} x {found['side']} pixels"
        )
        table = _rate_table(part, found[part])
    console.print(table)


def _rate_table(title: str, rates: dict[str, list[float]]) -> Table:
    table = _table(title, "pictures/s", "of the bare model's", "least", "most")
    for way, by_round in rates.items():
        ratios = [one / other for one, other in zip(by_round, rates["bare"], strict=True)]
        shares = (f"{part:.3f}" for part in (median(ratios), min(ratios), max(ratios)))
        table.add_row(way, f"{median(by_round):.2f}", *shares)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None)
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    return table


def _picture(side: int) -> Pixels:
    """A smooth one, whose PNG is about as large as a photograph's."""
    generator = np.random.default_rng(0)
    blocks = generator.integers(0, 200, (max(1, side // 8), max(1, side // 8), 3), dtype=np.uint8)
    picture = np.kron(blocks, np.ones((8, 8, 1), np.uint8))
    return picture + generator.integers(0, 16, picture.shape, dtype=np.uint8)


if __name__ == "__main__":
    main()
