"""A service without Ray: a real small model behind it, or whatever a test wants to happen."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import uvicorn
from starlette.types import ASGIApp

from drdd.inference.engine import Restoration, Restorer, Watch
from drdd.inference.options import Options
from drdd.inference.scales import scale_of
from drdd.pictures.pixels import Hole, Pixels
from drdd.serving.asked import ApiLimits
from drdd.serving.connections import BoundedProtocol
from drdd.serving.proxy import layers
from drdd.serving.service import Answer, Checked, ServedModel, UnknownModelError
from infra.local.settings import free_port

LIMITS = ApiLimits(max_megabytes=1, max_pixels=300_000, timeout_s=20)
SERVED = ServedModel(
    "champion", "0123456789ab", {"rain": 1}, {"passed": True}, "2026-01-01T00:00:00+00:00"
)


class FakeService:
    """restore: what becomes of the pixels; a copy of them unless given."""

    def __init__(
        self,
        restorer: Restorer | None = None,
        instead: Callable[[], Awaitable[None]] | None = None,
        unready: str | None = None,
    ) -> None:
        self._restorer, self._instead, self._unready = restorer, instead, unready
        self.asked: list[Options] = []
        self.cancelled = threading.Event()

    def check(self, options: Options, model: str | None, masked: bool = False) -> Checked:
        if model not in (None, SERVED.alias, SERVED.version):
            raise UnknownModelError(f"no model {model!r} is served; there are: champion")
        if self._restorer is None:
            return Checked(SERVED.version)
        self._restorer.check(options, masked)
        return Checked(SERVED.version, scale_of(self._restorer.model, options.scale))

    async def restore(
        self,
        pixels: Pixels,
        options: Options,
        model: str | None,
        hole: Hole | None = None,
        watch: Watch | None = None,
    ) -> Answer:
        self.asked.append(options)
        if self._instead:
            try:
                await self._instead()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if self._restorer:
            restored = await asyncio.to_thread(self._restorer.restore, pixels, options, None, hole)
        else:
            restored = Restoration(np.ascontiguousarray(pixels))
        return Answer(restored, SERVED, seconds=0.25, waited=0.5, batch=3)

    def models(self) -> list[ServedModel]:
        if self._restorer is None:
            return [] if self._unready else [SERVED]
        tasks = {name: use.scale for name, use in self._restorer.model.tasks.items()}
        return [replace(SERVED, tasks=tasks)]

    def ready(self) -> str | None:
        return self._unready

    def waiting(self) -> int:
        return 2


@contextmanager
def running(app: ASGIApp, **settings: Any) -> Iterator[str]:
    """On a real server on loopback; its address."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(app, "127.0.0.1", port, log_level="critical", **settings)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


@contextmanager
def proxied(app: ASGIApp) -> Iterator[str]:
    """`app` behind the connections and the middleware of Serve's proxy; the address."""
    for layer in layers():
        app = layer.cls(app, *layer.args, **layer.kwargs)
    with running(app, http=BoundedProtocol, lifespan="off") as address:
        yield address
