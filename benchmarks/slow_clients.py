"""The service while many clients are slow on purpose: health, readiness and restoring, with and without.

`python -m benchmarks.slow_clients` serves the network of params.yaml with random weights on a Ray cluster
of its own and measures one healthy client, first alone and then beside --clients slow ones, all in one
process. A quarter each: a byte of body and then silence; a header at a time; a body of a byte a second; two
megabytes of a body of thirty and then silence. Whoever is refused or cut off comes again at once.
Results: benchmarks/results/slow_clients.json.
"""

import argparse
import asyncio
import json
import multiprocessing
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.serve import _picture, random_model, served
from benchmarks.train import machine, told
from drdd.params import load
from drdd.pictures.files import png

RESULTS = Path("benchmarks/results/slow_clients.json")
HEAD = b"POST /v1/restore HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
MANY = 30_000_000
PATIENCE_S = 30.0
PAUSE_S = 0.05  # between two measurements


async def _one_byte(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: 1000\r\n\r\n.")
    await asyncio.sleep(PATIENCE_S)


async def _headers(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    while True:
        await asyncio.sleep(1)
        writer.write(b"X-And: more\r\n")


async def _trickle(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: 100000\r\n\r\n")
    while True:
        writer.write(b".")
        await asyncio.sleep(1)


async def _megabytes(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % MANY)
    for _ in range(32):
        writer.write(bytes(65536))
        await writer.drain()
    await asyncio.sleep(PATIENCE_S)


KINDS = (_one_byte, _headers, _trickle, _megabytes)


class SlowClients:
    """Clients of one event loop. ends: how often each status, or a connection that was cut, was met."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.open, self.ends = 0, Counter[str]()

    async def run(self, count: int) -> None:
        """Keep `count` clients connected until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(self._again_and_again(KINDS[number % len(KINDS)]))

    async def _again_and_again(self, kind: Callable[[asyncio.StreamWriter], Any]) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection(self._host, self._port)
            except OSError:
                self.ends["not connected"] += 1
                await asyncio.sleep(1)
                continue
            self.open += 1
            sending = asyncio.ensure_future(kind(writer))
            try:
                line = await reader.readline()
                self.ends[line.split()[1].decode() if line else "cut"] += 1
            except OSError:
                self.ends["cut"] += 1
            finally:
                self.open -= 1
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
                writer.transport.abort()


def _attack(host: str, port: int, count: int, told: Connection) -> None:
    """The process of the slow clients: tells when all are connected, and at the end what became of them."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    async def run() -> None:
        clients = SlowClients(host, port)
        running = asyncio.ensure_future(clients.run(count))
        while clients.open < count and not running.done():
            await asyncio.sleep(0.1)
        told.send(clients.open)
        while not told.poll():
            await asyncio.sleep(0.1)
        running.cancel()
        told.send(dict(clients.ends))

    asyncio.run(run())


@contextmanager
def slow_clients(url: str, count: int) -> Iterator[dict[str, int]]:
    """`count` slow clients in one process; what became of them, once the block is left."""
    address, (mine, its) = urlsplit(url), multiprocessing.Pipe()
    arguments = (address.hostname, address.port, count, its)
    process = multiprocessing.get_context("spawn").Process(target=_attack, args=arguments)
    process.start()
    ends: dict[str, int] = {}
    try:
        if not mine.poll(PATIENCE_S):
            raise TimeoutError(f"{count} clients are not connected after {PATIENCE_S:g} s")
        mine.recv()
        yield ends
        mine.send("end")
        ends |= mine.recv()
    finally:
        process.kill()
        process.join()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slow_clients")
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each part")
    parser.add_argument("--side", type=int, default=256, help="of a picture, in pixels")
    given = parser.parse_args()
    params = load()
    settings = params.serve.model_copy(
        update={"threads": 1, "replicas": 1, "max_replicas": None, "models": ["champion"]}
    )
    found: dict[str, Any] = {**machine(), "clients": given.clients, "side": given.side}
    with TemporaryDirectory() as scratch:
        folder = random_model(params, Path(scratch) / "model")
        with served(settings, folder) as (restore, _):
            url, body = restore.removesuffix("/v1/restore"), png(_picture(given.side))
            _measured(url, body, 5)  # warm
            told("alone")
            found["alone"] = _measured(url, body, given.seconds)
            told(f"beside {given.clients} slow clients")
            with slow_clients(url, given.clients) as ends:
                found["beside slow clients"] = _measured(url, body, given.seconds)
            found["what became of the slow clients"] = ends
    _show(found)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def _measured(url: str, body: bytes, seconds: float) -> dict[str, Any]:
    """p50 and p99 in seconds of each request, how many were not answered, and the proxy's memory in MB."""
    times: dict[str, list[float]] = {"health": [], "ready": [], "restore": []}
    failed, most, end = Counter[str](), 0.0, time.monotonic() + seconds
    proxy = _proxy()
    while time.monotonic() < end:
        for what, taken in times.items():
            began = time.monotonic()
            try:
                # Each on a connection of its own, as those of a new client are.
                if what == "restore":
                    answer = httpx.post(f"{url}/v1/restore", content=body, timeout=PATIENCE_S)
                else:
                    answer = httpx.get(f"{url}/v1/{what}", timeout=PATIENCE_S)
                failed[what] += answer.status_code != 200
            except httpx.HTTPError:
                failed[what] += 1
            taken.append(time.monotonic() - began)
            time.sleep(PAUSE_S)
        most = max(most, proxy.memory_info().rss / 1e6)
    found: dict[str, Any] = {"proxy_megabytes": round(most)}
    for what, taken in times.items():
        cuts = quantiles([*taken, taken[-1]], n=100, method="inclusive")
        found[what] = {
            "requests": len(taken),
            "failed": failed[what],
            "p50_s": round(cuts[49], 4),
            "p99_s": round(cuts[98], 4),
        }
    return found


def _proxy() -> psutil.Process:
    """Of this process's own cluster."""
    (proxy,) = (
        process
        for process in psutil.Process().children(recursive=True)
        if "ProxyActor" in " ".join(process.cmdline())
    )
    return proxy


def _show(found: dict[str, Any]) -> None:
    parts = ("alone", "beside slow clients")
    table = Table(
        "request", *(f"{part}: {of}" for part in parts for of in ("p50 s", "p99 s", "failed"))
    )
    for what in ("health", "ready", "restore"):
        cells = [
            str(found[part][what][of]) for part in parts for of in ("p50_s", "p99_s", "failed")
        ]
        table.add_row(what, *cells)
    console = Console(width=140, highlight=False)
    console.print(table, f"proxy: {[found[part]['proxy_megabytes'] for part in parts]} MB at most")
    console.print(found["what became of the slow clients"])


if __name__ == "__main__":
    main()
