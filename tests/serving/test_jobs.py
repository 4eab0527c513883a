"""Jobs over HTTP, in one process: their life, their owners, their bounds, and what cancels them."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from drdd.inference.engine import Watch
from drdd.inference.options import Options
from drdd.params import Serve
from drdd.pictures.pixels import Hole, Pixels
from drdd.serving import background, restoring
from drdd.serving.asked import ApiLimits
from drdd.serving.background import Background
from drdd.serving.http import make_api
from drdd.serving.jobs import DIED, Bounds, Claim, Full, Jobs, Result, Told
from drdd.serving.models import Models, load_checked
from drdd.serving.published import FromFolder
from drdd.serving.restoring import Restoring
from drdd.serving.service import Answer
from tests.corpora import encoded, scene
from tests.inference.test_engine import make_model
from tests.serving.fakes import LIMITS, FakeService, running

PICTURE = scene(0, 40, 56)
PNG = encoded(Image.fromarray(PICTURE), "PNG")
ENDED = ("done", "failed", "cancelled")
UNCHANGING = ("x-model-alias", "x-model-version", "content-type", "x-seconds", "server-timing")


class Stepping(FakeService):
    """Restores in four tiles, each when `go` is released; what stopped it is in `stopped`."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.stopped, self.began = threading.Semaphore(0), threading.Event(), 0

    async def restore(
        self,
        pixels: Pixels,
        options: Options,
        model: str | None,
        hole: Hole | None = None,
        watch: Watch | None = None,
    ) -> Answer:
        if watch is not None:
            self.began += 1
            await asyncio.to_thread(self._step, watch)
        return await super().restore(pixels, options, model, hole)

    def _step(self, watch: Watch) -> None:
        for tile in range(1, 5):
            assert self.go.acquire(timeout=60)
            try:
                watch(tile / 4)
            except Exception:
                self.stopped.set()
                raise


@pytest.fixture
def slow() -> Stepping:
    return Stepping()


@pytest.fixture
def serve(slow: Stepping) -> Iterator[Any]:
    """serve(limits) -> a client of the service."""
    with ExitStack() as stack:

        def begin(limits: ApiLimits = LIMITS) -> httpx.Client:
            url = stack.enter_context(running(make_api(slow, limits, {})))
            return stack.enter_context(httpx.Client(base_url=url, timeout=60))

        yield begin
        slow.go.release(1000)


def _until(client: httpx.Client, job: str, *statuses: str, **given: Any) -> dict[str, Any]:
    while True:
        told: dict[str, Any] = client.get(f"/v1/jobs/{job}?wait=5", **given).json()
        if told["status"] in statuses:
            return told


def _wait(event: threading.Event) -> None:
    event.wait(60)


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_job_is_told_of_as_it_grows_and_gives_what_restoring_gives(
    slow: Stepping, serve: Any
) -> None:
    client = serve()
    sent = client.post("/v1/jobs?format=webp&seed=3", content=PNG)
    assert sent.status_code == 202
    job = sent.json()
    assert sent.headers["Location"] == job["links"]["self"] == f"/v1/jobs/{job['id']}"
    assert len(job["id"].partition("-")[2]) == 22, "128 bits"
    early = client.get(job["links"]["result"])
    assert (early.status_code, early.headers["Retry-After"]) == (409, "1")
    told = [_until(client, job["id"], "running")["progress"]]
    for _ in range(4):
        slow.go.release()
        told.append(client.get(f"{job['links']['self']}?wait=10").json()["progress"])
    last = _until(client, job["id"], *ENDED)
    assert (last["status"], last["progress"]) == ("done", 100)
    assert last["expires"] > last["created"]
    assert told == sorted(told)
    assert len(set(told)) > 2
    for _ in range(2):
        result = client.get(job["links"]["result"])
        usual = client.post("/v1/restore?format=webp&seed=3", content=PNG)
        assert result.status_code == 200
        assert result.content == usual.content
        assert [result.headers[n] for n in UNCHANGING] == [usual.headers[n] for n in UNCHANGING]
    assert client.delete(job["links"]["self"]).json()["status"] == "cancelled", "forgotten"
    assert client.get(job["links"]["result"]).status_code == 410


def test_states_come_in_json_and_what_is_wrong_is_refused_at_once(
    slow: Stepping, serve: Any
) -> None:
    client = serve()
    slow.go.release(100)
    job = client.post("/v1/jobs?states=true", content=PNG).json()
    _until(client, job["id"], "done")
    found = client.get(job["links"]["result"]).json()
    usual = client.post("/v1/restore?states=true", content=PNG).json()
    assert {**found, "request": ""} == {**usual, "request": ""}
    for query, body, status in [
        ("steps=0", PNG, 422),
        ("steps=1&steps=2", PNG, 422),
        ("", b"no picture", 422),
        ("", b"", 422),
        ("", b"x" * 2 * 1024**2, 413),
        ("", encoded(Image.fromarray(scene(0, 600, 600)), "PNG"), 413),
    ]:
        for path in ("jobs", "restore"):
            answer = client.post(f"/v1/{path}?{query}", content=body)
            assert answer.status_code == status, (path, query)
    assert slow.began == 1


def test_a_cancelled_job_stops_at_the_next_tile_and_one_that_waits_never_begins(
    slow: Stepping, serve: Any
) -> None:
    client = serve()
    first, second, third = (client.post("/v1/jobs", content=PNG).json() for _ in range(3))
    _until(client, first["id"], "running")
    assert client.get(third["links"]["self"]).json()["position"] == 1
    assert client.delete(second["links"]["self"]).json()["status"] == "cancelled"
    assert client.get(third["links"]["self"]).json()["position"] == 0
    assert client.delete(first["links"]["self"]).json()["status"] == "cancelled"
    time.sleep(0.5)  # until its replica has heard of it
    slow.go.release()
    assert slow.stopped.wait(60)
    assert client.get(first["links"]["self"]).json()["status"] == "cancelled"
    assert client.get(first["links"]["result"]).status_code == 410
    slow.go.release(100)
    _until(client, third["id"], "done")
    assert slow.began == 2
    metrics = client.get("/metrics").text
    assert 'drdd_jobs_total{end="cancelled"} 2.0' in metrics
    assert 'drdd_jobs_total{end="done"} 1.0' in metrics


def test_a_job_is_its_keys_alone(slow: Stepping, serve: Any) -> None:
    client = serve(replace(LIMITS, api_keys=("mine", "yours")))
    mine, yours = _bearer("mine"), _bearer("yours")
    assert client.post("/v1/jobs", content=PNG).status_code == 401
    slow.go.release(100)
    job = client.post("/v1/jobs", content=PNG, headers=mine).json()
    _until(client, job["id"], "done", headers={"X-API-Key": "mine"})
    for method, path in [
        ("GET", job["links"]["self"]),
        ("GET", job["links"]["result"]),
        ("DELETE", job["links"]["self"]),
    ]:
        theirs = client.request(method, path, headers=yours)
        other = job["id"][:-3] + "abc"
        unknown = client.request(method, path.replace(job["id"], other), headers=mine)
        assert theirs.status_code == unknown.status_code == 404
        assert theirs.json()["detail"] == unknown.json()["detail"]
        assert client.request(method, path).status_code == 401
    assert client.get(job["links"]["result"], headers=mine).status_code == 200


@pytest.mark.parametrize("name", ["x", "0" * 32, "..%2F..", "%00", "a" * 5000, "é"])
def test_an_id_that_never_was_is_404(serve: Any, name: str) -> None:
    assert serve().get(f"/v1/jobs/{name}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        ("GET", "?wiat=5", "query.wiat: this request has only wait"),
        ("GET", "?wait=0&wait=1", "query.wait: given more than once"),
        ("GET", "/result?format=jpeg", "query.format: this request has no options"),
        ("DELETE", "?force=1", "query.force: this request has no options"),
    ],
)
def test_an_option_that_a_request_does_not_have_is_refused(
    slow: Stepping, serve: Any, method: str, path: str, said: str
) -> None:
    client = serve()
    slow.go.release(100)
    job = client.post("/v1/jobs", content=PNG).json()
    _until(client, job["id"], "done")
    answer = client.request(method, f"/v1/jobs/{job['id']}{path}")
    assert (answer.status_code, answer.json()["detail"]) == (422, said)
    assert client.get(job["links"]["self"]).json()["status"] == "done"


def test_an_id_of_an_earlier_store_is_said_to_be_lost(serve: Any) -> None:
    client, other = serve(), serve()
    job = client.post("/v1/jobs", content=PNG).json()
    for path in job["links"].values():
        answer = other.get(path)
        assert answer.status_code == 410
        assert "lost by a restart" in answer.json()["detail"]


def test_results_expire(slow: Stepping, serve: Any) -> None:
    client = serve(replace(LIMITS, jobs=Bounds(keep_s=0.05)))
    slow.go.release(100)
    job = client.post("/v1/jobs", content=PNG).json()
    while (answer := client.get(job["links"]["self"])).status_code == 200:
        assert answer.json()["status"] != "cancelled"
    assert answer.status_code == 410
    assert client.get(job["links"]["result"]).status_code == 410


def test_a_store_that_is_full_takes_no_more_and_no_key_fills_it(slow: Stepping, serve: Any) -> None:
    keys = ("mine", "yours", "theirs")
    bounds = Bounds(most=4, shared=True)
    client = serve(replace(LIMITS, api_keys=keys, jobs=bounds))
    said = []
    for key in ("mine", "mine", "mine", "yours", "theirs", "theirs"):
        answer = client.post("/v1/jobs", content=PNG, headers=_bearer(key))
        said.append(answer.status_code)
        if answer.status_code != 202:
            assert int(answer.headers["Retry-After"]) >= 1
    assert said == [202, 202, 429, 202, 202, 503]


def test_bytes_are_bounded_too() -> None:
    async def test() -> None:
        jobs = Jobs(Bounds(most=100, size=1000, shared=True))
        assert isinstance(await jobs.add("a", b"", 400, "v"), Told)
        assert await jobs.add("a", b"", 400, "v") == Full(True, 10.0)
        assert isinstance(await jobs.add("b", b"", 400, "v"), Told)
        assert await jobs.add("c", b"", 400, "v") == Full(False, 10.0)

    asyncio.run(test())


def test_the_job_of_a_worker_that_is_silent_goes_to_others_twice() -> None:
    async def test() -> None:
        jobs = Jobs(Bounds(), lease_s=0.05)
        told = await jobs.add("", b"content", 10, "v")
        assert isinstance(told, Told)
        for worker in ("one", "two"):
            claim = await jobs.claim(worker, 5)
            assert claim == Claim(told.id, b"content", "v")
            again = await jobs.look(told.id, "")
            assert again is not None
            assert again.progress == 0, "it begins again"
            assert await jobs.renew(worker, told.id, 0.5)
            again = await jobs.look(told.id, "")
            assert again is not None
            assert again.progress == 50
        await asyncio.sleep(0.1)
        assert await jobs.claim("three", 0) is None
        assert not await jobs.renew("two", told.id, 0.6)
        assert not await jobs.finish("one", told.id, Result(200, {}, b""))
        found, result = await jobs.result(told.id, "")
        assert found is not None
        assert found.status == "failed"
        assert result is not None
        assert DIED.encode() in result.body
        # One that is given back is no failure of its worker.
        told = await jobs.add("", b"content", 10, "v")
        assert isinstance(told, Told)
        for _ in range(4):
            assert await jobs.claim("one", 0) is not None
            await jobs.release("one", told.id)

    asyncio.run(test())


def test_requests_come_between_the_tiles_of_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model(tmp_path)
    large, small = scene(0, 300, 300), scene(1, 40, 50)

    async def test() -> None:
        service = Restoring(Models(["champion"], FromFolder(folder), load_checked), Serve())
        await service.start()
        expected = (await service.restore(large, Options(samples=8))).restoration.output
        shares: list[float] = []
        job = asyncio.create_task(service.restore(large, Options(samples=8), watch=shares.append))
        while not shares:
            await asyncio.sleep(0.001)
        while not job.done():
            before = len(shares)
            await service.restore(small, Options())
            assert len(shares) - before <= 3, "it ends its tile, and goes last"
            await service.demand_health()
        assert np.array_equal((await job).restoration.output, expected)
        assert shares[-1] == 1
        # A job that does not get on is ill, one that does is not.
        monkeypatch.setattr(restoring, "STALLED_S", 0.0)
        stuck = threading.Event()
        job = asyncio.create_task(
            service.restore(large, Options(), watch=lambda share: _wait(stuck))
        )
        while service._background.stalled_s is None:
            await asyncio.sleep(0.001)
        with pytest.raises(TimeoutError, match="has not got on"):
            await service.demand_health()
        stuck.set()
        await job

    asyncio.run(asyncio.wait_for(test(), 120))


def test_a_job_gets_on_although_requests_never_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        lane = Background(threading.Event())
        shares: list[float] = []

        def work(watch: Watch) -> str:
            for tile in range(3):
                time.sleep(0.001)
                watch((tile + 1) / 3)
            return "done"

        assert await lane.run(work, shares.append) == "done"
        assert len(shares) == 3

    monkeypatch.setattr(background, "PATIENCE", 0.1)
    asyncio.run(asyncio.wait_for(test(), 60))
