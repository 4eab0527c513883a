"""The service in one process, without Ray: models and the queue of requests."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from drdd.errors import TransientError
from drdd.inference.engine import AT_ONCE, Restoration, Watch
from drdd.inference.given import AnyPixels
from drdd.inference.options import Options
from drdd.inference.scales import scale_of
from drdd.params import Serve
from drdd.pictures.pixels import Hole, Pixels
from drdd.serving.background import Background
from drdd.serving.batching import Batcher
from drdd.serving.models import Loaded, Models, probe
from drdd.serving.service import Answer, Checked, ServedModel

HEALTHY_S = 20.0  # timeout for an idle worker to restore a tiny picture
STALLED_S = 300.0  # maximum time of one batch, unless the timeout of requests is longer


@dataclass(frozen=True)
class _Alike:
    """The group of pictures in a batch. size: (H', W') at which they are restored."""

    loaded: Loaded
    options: Options
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class _Item:
    pixels: AnyPixels
    hole: Hole | None


class Restoring:
    """A `Service` (service.py) for one event loop."""

    def __init__(self, models: Models, settings: Serve) -> None:
        self._models, self._settings = models, settings
        self._batcher: Batcher[_Alike, _Item, Restoration] = Batcher(
            _restored, self._batch_limit, settings.max_waiting, settings.timeout_s
        )
        self._background = Background(self._batcher.idle)

    async def start(self) -> None:
        """Load the models, waiting for the registry if needed. Raises UserError if none loads."""
        while True:
            try:
                return await asyncio.to_thread(self._models.start)
            except TransientError:
                await asyncio.sleep(self._settings.follow_s)

    def check(self, options: Options, model: str | None = None, masked: bool = False) -> Checked:
        """See Service."""
        loaded, _ = self._models.find(model)
        loaded.restorer.check(options, masked)
        return Checked(loaded.version, scale_of(loaded.restorer.model, options.scale))

    async def restore(
        self,
        pixels: AnyPixels,
        options: Options,
        model: str | None = None,
        hole: Hole | None = None,
        watch: Watch | None = None,
    ) -> Answer:
        """Restore a picture with the present model, in a batch with similar waiting pictures.

        hole: (H, W) bool, what is to be filled; all else stays as it is. watch: restore this picture alone,
        in a thread that gives way to batches after each tile.

        Raises UnknownModelError, UserError for options that the model does not support, BusyError,
        TimeoutError, and what `watch` raises.
        """
        loaded, served = self._models.find(model)
        loaded.restorer.check(options, masked=hole is not None)
        if watch is not None:
            began = time.monotonic()
            restored = await self._background.run(
                lambda told: loaded.restorer.restore(pixels, options, mask=hole, watch=told), watch
            )
            return Answer(restored, served, time.monotonic() - began, 0.0, 1)
        alike = _Alike(loaded, options, loaded.restorer.bucket(pixels, options))
        done = await self._batcher.submit(alike, _Item(pixels, hole))
        return Answer(done.result, served, done.seconds, done.waited, done.batch)

    async def restore_batch(
        self, pictures: Sequence[Pixels], options: Options, keys: Sequence[str] | None = None
    ) -> list[Restoration]:
        """Restore exactly these pictures as a batch with the default model, regardless of the queue."""
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
        """The number of queued requests."""
        return self._batcher.waiting

    def problems(self) -> dict[str, str]:
        """The problems of serving each alias."""
        return self._models.problems()

    async def look(self) -> None:
        """Check the aliases and load new versions."""
        await asyncio.to_thread(self._models.follow)

    async def follow(self) -> None:
        """Call `look` every follow_s seconds, forever."""
        while True:
            await asyncio.sleep(self._settings.follow_s)
            await self.look()

    async def demand_health(self) -> None:
        """Restore a tiny picture, unless a batch is in computation.

        Raises TimeoutError if the worker is stuck, or a job has not got on by a tile.
        """
        if (stalled := self._background.stalled_s or 0.0) > STALLED_S:
            raise TimeoutError(f"a job has not got on for {stalled:.0f} s")
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
        cost = height * width * alike.options.samples
        return max(1, min(self._settings.max_batch, AT_ONCE // cost))


def _restored(alike: _Alike, items: Sequence[_Item]) -> list[Restoration]:
    pictures, holes = [item.pixels for item in items], [item.hole for item in items]
    return alike.loaded.restorer.restore_batch(pictures, alike.options, masks=holes)
