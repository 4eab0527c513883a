"""Jobs on real Ray Serve: what becomes of them when processes die or are replaced."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from itertools import pairwise
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from drdd.inference.engine import Restorer
from drdd.inference.options import Options
from drdd.pictures.files import png
from drdd.serving.jobs import DIED
from tests.serving.test_app import PICTURE, SETTINGS, Shop, address, shop

__all__ = ["address", "shop"]
pytestmark = pytest.mark.slow
LARGE = np.random.default_rng(0).integers(0, 256, (1000, 1200, 3), dtype=np.uint8)
QUERY = "steps=20&samples=16&format=png"


@pytest.fixture
def client(address: str, shop: Shop) -> Iterator[httpx.Client]:
    """Of a service with two replicas."""
    shop.publish("one", 0)
    shop.deploy()
    with httpx.Client(base_url=address, timeout=60) as made:
        yield made


def _processes(name: str) -> set[int]:
    """Of this test's own cluster, whose processes come from this one."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it may end meanwhile
            if name in " ".join(process.cmdline()):
                found.add(process.pid)
    return found


def _busiest() -> int:
    """The replica that restores."""
    replicas = [psutil.Process(pid) for pid in _processes("ServeReplica:drdd")]
    for one in replicas:
        one.cpu_percent()
    time.sleep(1)
    return max(replicas, key=lambda one: one.cpu_percent()).pid


def _asked(client: httpx.Client, place: str) -> dict[str, Any]:
    """However often a replica that is gone is asked."""
    while True:
        answer = client.get(place, params={"wait": 1})
        if answer.status_code != 503:
            told: dict[str, Any] = answer.json()
            return told


def _until(client: httpx.Client, place: str, *statuses: str) -> list[dict[str, Any]]:
    told = [_asked(client, place)]
    while told[-1]["status"] not in statuses:
        assert told[-1]["status"] in ("waiting", "running"), told[-1]
        told.append(_asked(client, place))
    return told


def _until_it_is_lost(client: httpx.Client, place: str) -> None:
    """Until its replica's lease has ended. Another one may have taken it at once, and begun again."""
    before = 0.0
    while (told := _asked(client, place))["status"] == "running" and told["progress"] >= before:
        before = told["progress"]


def _running(client: httpx.Client) -> str:
    """The place of a job that has begun."""
    sent = client.post(f"/v1/jobs?{QUERY}", content=png(LARGE))
    assert sent.status_code == 202, sent.text
    place = str(sent.json()["links"]["self"])
    while _asked(client, place)["progress"] == 0:
        pass
    return place


def test_the_job_of_a_replica_that_is_killed_is_finished_by_another(
    client: httpx.Client, shop: Shop
) -> None:
    place = _running(client)
    os.kill(_busiest(), signal.SIGKILL)
    told = _until(client, place, "done")
    progress = [one["progress"] for one in told]
    assert sum(later < before for before, later in pairwise(progress)) == 1, "it begins again"
    assert progress[-1] == 100
    result = client.get(f"{place}/result")
    restorer = Restorer.from_folder(shop.root / "one")
    options = Options(residual_steps=20, noise_steps=20, samples=16)
    found = np.asarray(Image.open(BytesIO(result.content))).astype(int)
    assert np.abs(found - restorer.restore(LARGE, options).output).max() <= 1


def test_a_job_whose_replicas_all_die_fails_in_words(client: httpx.Client) -> None:
    place = _running(client)
    for _ in range(2):
        victim = _busiest()
        os.kill(victim, signal.SIGKILL)
        _until_it_is_lost(client, place)
        if _asked(client, place)["status"] == "failed":
            break
        _until(client, place, "running")
    assert _until(client, place, "failed")
    answer = client.get(f"{place}/result")
    assert answer.status_code == 500
    assert answer.json()["detail"] == DIED


def test_a_replacement_of_the_replicas_loses_no_job(client: httpx.Client, shop: Shop) -> None:
    place = _running(client)
    before = _processes("ServeReplica:drdd")
    assert shop.deploy(SETTINGS.model_copy(update={"max_batch": 2})) is True
    _until(client, place, "done")
    assert client.get(f"{place}/result").status_code == 200
    assert not before & _processes("ServeReplica:drdd")


def test_jobs_are_said_to_be_lost_with_their_keeper_and_cancelled_ones_free_the_thread(
    client: httpx.Client,
) -> None:
    place = _running(client)
    (keeper,) = _processes("Keeper")
    os.kill(keeper, signal.SIGKILL)
    while (answer := client.get(place)).status_code != 410:
        assert answer.status_code in (200, 503), answer.text
    assert "lost by a restart" in answer.json()["detail"]
    place = _running(client)
    assert client.delete(place).json()["status"] == "cancelled"
    small = client.post("/v1/jobs", content=png(PICTURE)).json()["links"]["self"]
    _until(client, small, "done")
    assert json.loads(client.get(place).content)["status"] == "cancelled"
