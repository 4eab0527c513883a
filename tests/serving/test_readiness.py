"""Health and readiness, whatever becomes of the replicas; restoring leaves them slots."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from drdd.serving import readiness
from drdd.serving.http import SCRAPES, make_api
from drdd.serving.readiness import SILENT
from tests.serving.fakes import LIMITS, FakeService, proxied
from tests.serving.raw import NEVER, PNG


@pytest.fixture
def unready() -> FakeService:
    return FakeService(unready="champion is being loaded")


def test_readiness_says_what_the_service_says(unready: FakeService) -> None:
    with proxied(make_api(unready, LIMITS, {})) as url:
        answer = httpx.get(f"{url}/v1/ready")
        assert answer.status_code == 503
        assert answer.json()["detail"] == "champion is being loaded"
        assert httpx.get(f"{url}/v1/health").json() == {"status": "alive"}
        assert (
            httpx.post(f"{url}/v1/restore", content=PNG).json()["detail"] == answer.json()["detail"]
        )
        unready._unready = None
        while (again := httpx.get(f"{url}/v1/ready")).status_code != 200:
            time.sleep(0.05)
        assert again.json() == {"status": "ready", "max_bytes": 1024**2}
        assert httpx.post(f"{url}/v1/restore", content=PNG).status_code == 200
        unready._unready = "champion is gone"
        while (again := httpx.get(f"{url}/v1/ready")).status_code != 503:
            time.sleep(0.05)
        assert again.json()["detail"] == "champion is gone"


def test_a_service_that_does_not_answer_is_alive_and_not_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness, "ANSWER_S", 0.2)

    async def stuck(scope: dict, receive: Callable, send: Callable) -> None:
        await asyncio.sleep(NEVER)

    async def broken(scope: dict, receive: Callable, send: Callable) -> None:
        raise RuntimeError("surprise")

    for inner in (stuck, broken):
        with proxied(inner) as url:  # type: ignore[arg-type]
            assert httpx.get(f"{url}/v1/health").status_code == 200
            for _ in range(2):
                answer = httpx.get(f"{url}/v1/ready")
                assert (answer.status_code, answer.json()["detail"]) == (503, SILENT)


def test_one_replica_that_dies_when_it_is_asked_says_nothing_of_the_others() -> None:
    asked = 0

    async def inner(scope: dict, receive: Callable, send: Callable) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b'{"max_bytes": 5}'})

    with proxied(inner) as url:  # type: ignore[arg-type]
        assert httpx.get(f"{url}/v1/ready").json() == {"status": "ready", "max_bytes": 5}


def test_restoring_leaves_slots_for_the_rest() -> None:
    release, service = threading.Event(), FakeService()

    async def waiting() -> None:
        while not release.is_set():
            await asyncio.sleep(0.02)

    service._instead = waiting
    answers: list[int] = []
    with proxied(make_api(service, replace(LIMITS, at_once=3), {})) as url:

        def post() -> None:
            answers.append(httpx.post(f"{url}/v1/restore", content=PNG, timeout=60).status_code)

        threads = [threading.Thread(target=post) for _ in range(8)]
        for thread in threads:
            thread.start()
        while len(answers) < 5:
            time.sleep(0.02)
        assert answers == [503] * 5
        assert httpx.get(f"{url}/v1/ready", timeout=60).status_code == 200
        release.set()
        for thread in threads:
            thread.join()
    assert answers == [503] * 5 + [200] * 3


def test_scrapes_do_not_pile_up() -> None:
    """Each asks all replicas, and holds a slot while it waits for theirs."""
    release, answers = threading.Event(), []

    async def collect() -> dict:
        while not release.is_set():
            await asyncio.sleep(0.02)
        return {}

    with proxied(make_api(FakeService(), LIMITS, {}, collect=collect)) as url:

        def scrape() -> None:
            answers.append(httpx.get(f"{url}/metrics", timeout=60).status_code)

        threads = [threading.Thread(target=scrape) for _ in range(SCRAPES + 4)]
        for thread in threads:
            thread.start()
        while len(answers) < 4:
            time.sleep(0.02)
        assert httpx.get(f"{url}/v1/models", timeout=60).status_code == 200
        release.set()
        for thread in threads:
            thread.join()
    assert answers == [503] * 4 + [200] * SCRAPES
