"""The service without Ray: the engine's answers, in batches, by the model of the moment; and its health."""

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drdd.errors import TransientError, UserError
from drdd.inference.engine import Restorer
from drdd.inference.options import Options
from drdd.params import Serve
from drdd.pictures.pixels import Pixels
from drdd.serving import restoring
from drdd.serving.models import Models, load_checked
from drdd.serving.published import FromFolder
from drdd.serving.restoring import Restoring
from drdd.serving.service import BusyError, UnknownModelError
from tests.inference.test_engine import make_model

SETTINGS = Serve(max_batch=4, max_waiting=6, follow_s=0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


def picture(seed: int, height: int = 20, width: int = 24) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


async def started(folder: Path, settings: Serve = SETTINGS) -> Restoring:
    service = Restoring(Models(["champion"], FromFolder(folder), load_checked), settings)
    assert service.ready() is not None
    await service.start()
    assert service.ready() is None
    return service


def test_requests_at_the_same_time_get_the_engines_answers_together(folder: Path) -> None:
    async def test() -> None:
        service = await started(folder)
        pictures = [picture(seed, 20 + seed) for seed in range(5)]
        answers = await asyncio.gather(*(service.restore(one, Options()) for one in pictures))
        engine = Restorer.from_folder(folder)
        for answer, one in zip(answers, pictures, strict=True):
            alone = engine.restore(one).output
            # Kernels of a batch may round otherwise.
            assert np.abs(answer.restoration.output.astype(int) - alone).max() <= 1
            assert answer.model.alias == "champion"
        assert sorted(answer.batch for answer in answers) == [1, 4, 4, 4, 4]

    run(test())


def test_other_options_and_other_sizes_are_other_batches(folder: Path) -> None:
    async def test() -> None:
        service = await started(folder)
        asked = [(picture(0), 0), (picture(0), 1), (picture(0, 100), 0), (picture(1), 0)]
        answers = await asyncio.gather(*(service.restore(p, Options(seed=s)) for p, s in asked))
        assert [answer.batch for answer in answers] == [2, 1, 1, 2]

    run(test())


def test_a_batch_of_large_pictures_is_small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        service = await started(folder)
        answers = await asyncio.gather(*(service.restore(picture(i), Options()) for i in range(4)))
        assert [answer.batch for answer in answers] == [2, 2, 2, 2]

    monkeypatch.setattr(restoring, "AT_ONCE", 2 * 32 * 32)
    run(test())


def test_what_cannot_be_done_is_said_at_once(folder: Path) -> None:
    async def test() -> None:
        service = await started(folder)
        with pytest.raises(UnknownModelError, match="'other'"):
            await service.restore(picture(0), Options(), "other")
        with pytest.raises(UserError):
            await service.restore(picture(0), Options(noise_level=0.02, noise_steps=50))
        with pytest.raises(UserError):
            await service.restore_batch([picture(0)], Options(noise_level=0.02, noise_steps=50))
        asked = [service.restore(picture(i), Options()) for i in range(8)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(one, BusyError) for one in answers] == [False] * 6 + [True] * 2

    run(test())


def test_a_batch_by_hand_is_the_engines_own(folder: Path) -> None:
    async def test() -> None:
        service = await started(folder)
        pictures = [picture(seed) for seed in range(10)]
        keys = [str(seed) for seed in range(10)]
        found = await service.restore_batch(pictures, Options(seed=2), keys)
        expected = Restorer.from_folder(folder).restore_batch(pictures, Options(seed=2), keys)
        for one, other in zip(found, expected, strict=True):
            assert np.array_equal(one.output, other.output)

    run(test())


def test_a_registry_that_is_away_at_the_start_is_waited_for(folder: Path) -> None:
    class Late(FromFolder):
        asked = 0

        def versions(self, alias: str) -> list[str]:
            Late.asked += 1
            if Late.asked < 3:
                raise TransientError("no answer")
            return super().versions(alias)

    async def test() -> None:
        service = Restoring(Models(["champion"], Late(folder), load_checked), SETTINGS)
        await service.start()
        assert Late.asked == 3
        follower = asyncio.create_task(service.follow())
        while Late.asked < 5:
            await asyncio.sleep(0.01)
        follower.cancel()

    run(test())


def test_health_is_a_restoration_and_a_long_batch_is_no_illness(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, release = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> None:
        stuck.set()
        release.wait(60)

    async def test() -> None:
        service = await started(folder)
        await service.demand_health()
        monkeypatch.setattr(Restorer, "restore_batch", hang)
        hung = asyncio.create_task(service.restore(picture(0), Options()))
        await asyncio.to_thread(stuck.wait, 60)
        await service.demand_health()
        monkeypatch.setattr(restoring, "STALLED_S", 0.0)
        with pytest.raises(TimeoutError, match="a batch was begun"):
            await Restoring.demand_health(_impatient(service))
        release.set()
        with pytest.raises(TypeError):
            await hung

    run(test())


def test_an_idle_worker_that_cannot_restore_is_ill(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the device is lost")

    async def test() -> None:
        service = await started(folder)
        monkeypatch.setattr(Restorer, "restore", fail)
        with pytest.raises(RuntimeError, match="device is lost"):
            await service.demand_health()

    run(test())


def _impatient(service: Restoring) -> Restoring:
    service._settings = SETTINGS.model_copy(update={"timeout_s": 1e-9})
    return service
