"""Requests to a running service: as many at a time as it takes, or as many a second as are offered."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

import httpx
from ray.serve.handle import DeploymentHandle

from drdd.inference.options import Options
from drdd.pictures.pixels import Pixels

TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Reply:
    """began, seconds: since the load began, and from the request to its answer."""

    status: int
    began: float
    seconds: float


def by_handle(handle: DeploymentHandle, picture: Pixels, at_once: int, count: int) -> list[Reply]:
    """`count` requests by handle, of which so many are under way at any time."""
    begin = time.perf_counter()
    waiting: deque[tuple[float, Any]] = deque()
    replies: list[Reply] = []
    for number in range(count + at_once):
        if number >= at_once:
            began, response = waiting.popleft()
            response.result(timeout_s=TIMEOUT_S)
            replies.append(Reply(200, began - begin, time.perf_counter() - began))
        if number < count:
            waiting.append((time.perf_counter(), handle.restore.remote(picture, Options())))
    return replies


def closed(url: str, body: bytes, at_once: int, count: int) -> list[Reply]:
    """`count` requests, of which so many are under way at any time."""

    async def run() -> list[Reply]:
        replies: list[Reply] = []
        numbers, began = iter(range(count)), time.perf_counter()
        async with _client(at_once) as client:

            async def one_after_another() -> None:
                for _ in numbers:
                    replies.append(await _ask(client, url, body, began))

            await asyncio.gather(*(one_after_another() for _ in range(at_once)))
        return replies

    return asyncio.run(run())


def offered(url: str, body: bytes, rate: float, seconds: float, seed: int = 0) -> list[Reply]:
    """Requests that come when they come, `rate` a second on average, whether or not others are done."""

    async def run() -> list[Reply]:
        began = time.perf_counter()
        async with _client(None) as client, asyncio.TaskGroup() as group:
            tasks = []
            for moment in arrivals(rate, seconds, seed):
                await asyncio.sleep(max(0.0, began + moment - time.perf_counter()))
                tasks.append(group.create_task(_ask(client, url, body, began)))
        return [task.result() for task in tasks]

    return asyncio.run(run())


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Moments in [0, seconds) of a Poisson process, the same for the same seed."""
    generator, moment, moments = random.Random(seed), 0.0, []
    while (moment := moment + generator.expovariate(rate)) < seconds:
        moments.append(moment)
    return moments


def throughput(replies: Sequence[Reply], warm: int, batch: int) -> float:
    """Answers with a picture a second, from the end of the batch in which the first `warm` are done.

    The answers of a batch come together, so to begin within one would count some whose time is not.
    Raises ValueError when there is no pause between batches.
    """
    ends = sorted(reply.began + reply.seconds for reply in replies if reply.status == 200)
    pause = batch * (ends[-1] - ends[0]) / len(ends) / 4
    bounds = (i for i in range(warm, len(ends)) if ends[i] - ends[i - 1] > pause)
    first = next(bounds, None)
    if first is None:
        raise ValueError(f"the answers do not come in batches of up to {batch}")
    return (len(ends) - first) / (ends[-1] - ends[first - 1])


@dataclass(frozen=True)
class LoadSummary:
    """p50, p95, p99: seconds of the answers with a picture, NaN for fewer than two.

    answered, refused, failed: shares with a picture, with 503, and with anything else.
    """

    requests: int
    p50: float
    p95: float
    p99: float
    answered: float
    refused: float
    failed: float


def summary(replies: Sequence[Reply]) -> LoadSummary:
    taken = [reply.seconds for reply in replies if reply.status == 200]
    cuts = quantiles(taken, n=100, method="inclusive") if len(taken) > 1 else [float("nan")] * 99
    refused = sum(reply.status == 503 for reply in replies)
    count = len(replies)
    failed = count - len(taken) - refused
    return LoadSummary(
        count, cuts[49], cuts[94], cuts[98], len(taken) / count, refused / count, failed / count
    )


def _client(connections: int | None) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits, trust_env=False)


async def _ask(client: httpx.AsyncClient, url: str, body: bytes, begin: float) -> Reply:
    """A connection that breaks is status 0."""
    began = time.perf_counter()
    try:
        status = (await client.post(url, content=body)).status_code
    except httpx.HTTPError:
        status = 0
    return Reply(status, began - begin, time.perf_counter() - began)
