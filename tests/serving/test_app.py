"""The service on real Ray Serve: a swap under load loses no request, and nothing takes the service down."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from drdd.cluster.connection import ray_cluster
from drdd.errors import UserError
from drdd.inference.engine import Restorer
from drdd.inference.options import Options
from drdd.params import Serve
from drdd.pictures.files import png
from drdd.registry.registry import Registry
from drdd.shown import short
from infra.local.settings import free_port
from tests.inference.test_engine import make_model
from tests.serving.raw import clients, status

pytestmark = pytest.mark.slow
PICTURE = np.random.default_rng(0).integers(0, 256, (33, 47, 3), dtype=np.uint8)
SECRET = "a-key-that-no-log-may-hold"
SETTINGS = Serve(threads=1, replicas=2, follow_s=0.5, max_batch=4)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of the service, in a cluster of its own."""
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("DRDD_SERVE_PORT", str(port))
        with ray_cluster(cpus=1):
            yield f"http://127.0.0.1:{port}"


@dataclass
class Shop:
    """A registry of which `champion` is served; versions: their ids, by the name of the folder."""

    root: Path
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def registry(self) -> Registry:
        return Registry.open(str(self.root / "registry"))

    def publish(
        self, name: str, seed: int, broken: bool = False, scales: Sequence[int] = (1,)
    ) -> str:
        """As champion."""
        folder = make_model(self.root / name, seed, scales=scales)
        if broken:
            config = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps(config | {"format": "drdd-99"}))
        files: dict[str, Path | bytes] = {path.name: path for path in folder.iterdir()}
        self.versions[name] = self.registry.publish(files, {}).id
        self.registry.aliases.move("champion", self.versions[name])
        return self.versions[name]

    def deploy(self, settings: Serve = SETTINGS) -> bool:
        from drdd.serving.app import deploy

        return deploy(settings, self.registry.uri, self.root)


@pytest.fixture
def shop(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    from ray import serve

    from drdd.serving.app import SERVICE

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    yield Shop(tmp_path)
    serve.delete(SERVICE)


@dataclass
class Load:
    """What requests without a pause were answered: how each was made, when, the version or what failed."""

    answers: list[tuple[str, float, str]] = field(default_factory=list)

    def since(self, begin: float) -> set[str]:
        return {said for _, began, said in self.answers if began >= begin}

    def wait(self, count: int) -> None:
        """Until so many more were answered."""
        wanted = len(self.answers) + count
        while len(self.answers) < wanted:
            time.sleep(0.02)


@contextmanager
def under_load(address: str) -> Iterator[Load]:
    """Two threads by HTTP and two by handle."""
    from ray import serve

    from drdd.serving.app import SERVICE

    load, stop = Load(), threading.Event()
    handle = serve.get_app_handle(SERVICE)

    def by_http(client: httpx.Client) -> str:
        answer = client.post(f"{address}/v1/restore", content=png(PICTURE))
        if answer.status_code != 200:
            return f"{answer.status_code} {answer.headers.get('retry-after')} {answer.text}"
        assert Image.open(BytesIO(answer.content)).size == (47, 33)
        return answer.headers["X-Model-Version"]

    def by_handle(client: httpx.Client) -> str:
        answered = handle.restore.remote(PICTURE).result(timeout_s=60)
        return str(answered.model.version)

    def ask(how: str, request: Callable[[httpx.Client], str]) -> None:
        with httpx.Client(timeout=60) as client:
            while not stop.is_set():
                began = time.monotonic()
                try:
                    said = request(client)
                except Exception as error:
                    said = f"{type(error).__name__}: {error}"
                load.answers.append((how, began, said))

    ways: dict[str, Callable[[httpx.Client], str]] = {"http": by_http, "handle": by_handle}
    threads = [threading.Thread(target=ask, args=way) for way in ways.items() for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


def _none() -> str:
    raise AssertionError("of one node nobody asks for a place that others reach")


@pytest.mark.gate
def test_the_candidate_answers_as_the_engine_does(address: str, tmp_path: Path) -> None:
    from drdd.serving.app import candidate

    folder = make_model(tmp_path)
    pictures = [PICTURE, PICTURE[:20], PICTURE[:, ::-1].copy()]
    options = Options(seed=3)
    expected = Restorer.from_folder(folder).restore_batch(pictures, options)
    with candidate(folder, SETTINGS, _none) as handle:
        found = handle.restore_batch.remote(pictures, options).result()
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.output, other.output)
    with (
        pytest.raises(UserError, match="no model folder"),
        candidate(tmp_path / "no", SETTINGS, _none),
    ):
        pass


def test_versions_are_swapped_under_load_and_a_broken_one_is_not(address: str, shop: Shop) -> None:
    first = shop.publish("one", 0)
    assert shop.deploy() is True
    assert shop.deploy() is False
    with under_load(address) as load:
        load.wait(20)
        second = shop.publish("two", 1)
        assert shop.deploy() is True
        swapped = time.monotonic()
        load.wait(40)
        broken = shop.publish("three", 2, broken=True)
        wanted = f"{short(broken)} does not load.*drdd-99.*{short(second)} serves"
        with pytest.raises(UserError, match=wanted):
            shop.deploy()
        load.wait(40)
        (said,) = httpx.get(f"{address}/v1/models", timeout=60).json()["models"]
        assert said["version"] == second
        assert short(broken) in said["problem"]
        for path in ("/v1/ready", "/v1/health", "/docs", "/openapi.json", "/", "/samples"):
            assert httpx.get(f"{address}{path}", timeout=60).status_code == 200, path
        fourth = shop.publish("four", 3)
        assert shop.deploy() is True
        mended = time.monotonic()
        load.wait(20)
    assert load.answers[0][2] == first
    assert load.since(0) == {first, second, fourth}
    assert load.since(swapped) == {second, fourth}
    assert load.since(mended) == {fourth}
    expected = Restorer.from_folder(shop.root / "four").restore(PICTURE).output
    body = httpx.post(f"{address}/v1/restore", content=png(PICTURE), timeout=60).content
    assert np.array_equal(np.asarray(Image.open(BytesIO(body))), expected)
    counted = {_counted(address) for _ in range(8)}  # whichever replica answers
    assert counted == {1 + sum(how == "http" for how, *_ in load.answers)}
    logs = [path for path in _logs().rglob("*") if path.is_file()]
    assert [path for path in logs if path.match("serve/replica_drdd_*")]
    assert not [path for path in logs if SECRET.encode() in path.read_bytes()]


def test_a_replica_that_is_killed_costs_its_own_requests_and_is_replaced(
    address: str, shop: Shop
) -> None:
    from drdd.serving.app import PATIENCE_S

    version = shop.publish("one", 0)
    shop.deploy()
    before = _replicas()
    assert len(before) == 2
    with under_load(address) as load:
        load.wait(20)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        while len(now := _replicas() - {victim}) < 2:
            assert time.monotonic() < killed + PATIENCE_S
            time.sleep(0.2)
        load.wait(20)
        whole = time.monotonic()
        assert shop.deploy() is False
        load.wait(40)
    assert load.since(whole) == {version}
    lost = [said for *_, said in load.answers if said != version]
    for said in lost:
        assert said.startswith(("503 2 ", "ActorDiedError", "RayActorError", "ActorUnavailable")), (
            said
        )
    assert len(lost) <= 8
    assert len(now) == 2


def _counted(address: str) -> int:
    """Requests to restore by HTTP, of all replicas, as one of them tells."""
    lines = httpx.get(f"{address}/metrics", timeout=60).text.splitlines()
    return sum(
        int(float(line.split()[-1])) for line in lines if line.startswith("drdd_requests_total")
    )


def _logs() -> Path:
    """Of all processes of this test's own cluster."""
    import ray

    cluster = ray.get_runtime_context()
    return Path(cluster.get_temp_dir(), cluster.get_session_name(), "logs")


def _replicas() -> set[int]:
    """Of this test's own cluster, whose processes come from this one."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it may end meanwhile
            if "ServeReplica:drdd" in " ".join(process.cmdline()):
                found.add(process.pid)
    return found


def test_other_settings_are_taken_over_and_impossible_ones_change_nothing(
    address: str, shop: Shop
) -> None:
    shop.publish("one", 0, scales=(1, 2))
    one = SETTINGS.model_copy(update={"replicas": 1})
    shop.deploy(one)
    layers = np.dstack([PICTURE, PICTURE[..., 0]])
    twice = httpx.post(f"{address}/v1/restore?scale=2", content=png(layers), timeout=60)
    assert Image.open(BytesIO(twice.content)).size == (94, 66)
    assert Image.open(BytesIO(twice.content)).mode == "RGBA"
    white = httpx.post(f"{address}/v1/restore?format=jpeg", content=png(layers), timeout=60)
    assert white.headers["X-Notes"] == "transparency -> white, as JPEG has none"
    with pytest.raises(UserError, match=r"serve\.api_keys: .*keys\.txt does not exist"):
        shop.deploy(one.model_copy(update={"api_keys": "keys.txt"}))
    with pytest.raises(UserError, match="no alias 'nobody'"):
        shop.deploy(one.model_copy(update={"models": ["nobody"]}))
    with under_load(address) as load:
        load.wait(10)
        assert shop.deploy(one.model_copy(update={"max_batch": 2})) is True
        load.wait(10)
    assert load.since(0) == {shop.versions["one"]}


@pytest.mark.gate
def test_slow_clients_take_no_slot_and_other_hosts_are_refused(address: str, shop: Shop) -> None:
    """More of them than a replica has slots."""
    from drdd.serving.replica import deployment

    version = shop.publish("one", 0)
    one = SETTINGS.model_copy(update={"replicas": 1})
    shop.deploy(one)
    slots = deployment(one)._deployment_config.max_ongoing_requests
    head = b"POST /v1/restore HTTP/1.1\r\nHost: localhost\r\n"
    begin = head + b"Content-Length: 1000\r\n\r\n."
    with clients(address, 2 * slots, begin) as slow, clients(address, 2, head) as slower:
        for path in ("/v1/health", "/v1/ready", "/metrics"):
            assert httpx.get(f"{address}{path}", timeout=60).status_code == 200
        answer = httpx.post(f"{address}/v1/restore", content=png(PICTURE), timeout=60)
        assert (answer.status_code, answer.headers["X-Model-Version"]) == (200, version)
        assert {status(client) for client in slow + slower} == {408}
    for path in ("/", "/-/routes", "/-/healthz", "/v1/models", "/no"):
        answer = httpx.get(f"{address}{path}", headers={"Host": "evil.example"})
        assert answer.status_code == 421, path
