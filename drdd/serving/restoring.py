"""The service of one process, without Ray: its models, and the requests that wait for them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from drdd.errors import TransientError
from drdd.inference.engine import AT_ONCE, Options, Restoration
from drdd.params import Serve
from drdd.pictures.pixels import Pixels
from drdd.serving.batching import Batcher
from drdd.serving.models import Loaded, Models, probe
from drdd.serving.service import Answer, ServedModel

HEALTHY_S = 20.0  # within which an idle worker restores a tiny picture
STALLED_S = 300.0  # for which a worker may compute one batch, if requests do not take longer


@dataclass(frozen=True)
class _Alike:
    """What pictures of a batch have in common. size: (H', W') that they are restored at."""

    loaded: Loaded
    options: Options
    size: tuple[int, int]


class Restoring:
    """A `Service` (service.py) for one event loop."""

    def __init__(self, models: Models, settings: Serve) -> None:
        self._models, self._settings = models, settings
        self._batcher: Batcher[_Alike, Pixels, Restoration] = Batcher(
            _restored, self._batch_limit, settings.max_waiting, settings.timeout_s
        )

    async def start(self) -> None:
        """Load the models; a registry that is away is waited for. Raises UserError if none loads."""
        while True:
            try:
                return await asyncio.to_thread(self._models.start)
            except TransientError:
                await asyncio.sleep(self._settings.follow_s)

    async def restore(self, pixels: Pixels, options: Options, model: str | None = None) -> Answer:
        """Restore (H, W, 3) uint8 in a batch with what waits alike, by the model of this moment.

        Raises UnknownModelError, UserError for options that the model cannot do, BusyError, TimeoutError.
        """
        loaded, served = self._models.find(model)
        loaded.restorer.check(options)
        alike = _Alike(loaded, options, loaded.restorer.bucket(pixels))
        done = await self._batcher.submit(alike, pixels)
        return Answer(done.result, served, done.seconds, done.waited, done.batch)

    async def restore_batch(
        self, pictures: Sequence[Pixels], options: Options, keys: Sequence[str] | None = None
    ) -> list[Restoration]:
        """These pictures together and with no other, by the default model, however many wait."""
        loaded, _ = self._models.find(None)
        loaded.restorer.check(options)
        return await self._batcher.aside(
            lambda: loaded.restorer.restore_batch(pictures, options, keys)
        )

    def models(self) -> list[ServedModel]:
        return self._models.served()

    def ready(self) -> str | None:
        return self._models.ready()

    def waiting(self) -> int:
        """Requests that no batch has taken yet."""
        return self._batcher.waiting

    def problems(self) -> dict[str, str]:
        """By alias: why it is not served as it is."""
        return self._models.problems()

    async def look(self) -> None:
        """At the aliases, and load what is new."""
        await asyncio.to_thread(self._models.follow)

    async def follow(self) -> None:
        """Look every follow_s seconds, for ever."""
        while True:
            await asyncio.sleep(self._settings.follow_s)
            await self.look()

    async def demand_health(self) -> None:
        """Restore a tiny picture, or see that a batch is being computed. Raises TimeoutError if stuck."""
        busy = self._batcher.busy_s
        if busy is None:
            loaded, _ = self._models.find(None)
            async with asyncio.timeout(HEALTHY_S):
                await self._batcher.aside(lambda: probe(loaded.restorer))
        elif busy > (longest := max(STALLED_S, 2 * self._settings.timeout_s)):
            raise TimeoutError(
                f"a batch was begun {busy:.0f} s ago, and takes {longest:.0f} at most"
            )

    def _batch_limit(self, alike: _Alike) -> int:
        height, width = alike.size
        return max(1, min(self._settings.max_batch, AT_ONCE // (height * width)))


def _restored(alike: _Alike, pictures: Sequence[Pixels]) -> list[Restoration]:
    return alike.loaded.restorer.restore_batch(pictures, alike.options)
