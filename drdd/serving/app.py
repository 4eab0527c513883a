"""The Ray Serve application: one replica holds one model, answers handles and HTTP, and swaps it."""

import asyncio
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastapi import FastAPI, HTTPException, Request, Response
from numpy.typing import NDArray
from ray import serve
from ray.serve.config import HTTPOptions, ProxyLocation
from ray.serve.handle import DeploymentHandle

from drdd.data.intake import Limits, decode
from drdd.data.pictures import png
from drdd.errors import UserError
from drdd.serving.engine import Restoration, Restorer
from drdd.sources.entry import Blob

SERVICE, CANDIDATE = "drdd", "candidate"
DEFAULT_PORT = 8000
MAX_BODY = 32 * 1024**2

api = FastAPI(
    title="drdd", description="Image restoration by decoupled residual denoising diffusion."
)


@serve.deployment(num_replicas=1, max_ongoing_requests=16, ray_actor_options={"num_cpus": 0})
@serve.ingress(api)
class Restoring:
    """num_cpus is 0: a waiting service must not take a training worker's place in the cluster."""

    def __init__(self, folder: str, version: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self._restorer = Restorer.from_folder(Path(folder))
        self._version = version
        self._lock = asyncio.Lock()

    async def restore(self, pixels: NDArray[np.uint8], key: str | None = None) -> Restoration:
        """(H, W, 3) uint8, one picture at a time, so a result depends on no neighbour in a batch."""
        async with self._lock:
            return await asyncio.to_thread(self._restorer.restore, pixels, key)

    async def swap(self, folder: str, version: str) -> str:
        """Load another model, then switch to it; one that does not load leaves the old one serving."""
        restorer = await asyncio.to_thread(Restorer.from_folder, Path(folder))
        self._restorer, self._version = restorer, version
        return version

    async def version(self) -> str:
        return self._version

    async def check_health(self) -> None:
        """A real, tiny inference: a replica that answers but cannot restore is not healthy."""
        await self.restore(np.zeros((16, 16, 3), dtype=np.uint8), "health")

    @api.post(
        "/v1/restore",
        response_class=Response,
        responses={200: {"content": {"image/png": {}}}, 413: {}, 422: {}},
    )
    async def restore_http(self, request: Request) -> Response:
        """The body is an image file (PNG, JPEG, WebP, ...); the answer is the restored PNG."""
        body = await request.body()
        if len(body) > MAX_BODY:
            raise HTTPException(
                413, f"the body has {len(body)} bytes, at most {MAX_BODY} are taken"
            )
        try:
            limits = Limits(min_side=1, max_side=10**9, max_pixels=50_000_000)
            pixels = await asyncio.to_thread(decode, Blob("body", body), limits)
        except ValueError as error:
            raise HTTPException(422, f"the body is not a usable image: {error}") from None
        begin = time.monotonic()
        restored = await self.restore(pixels)
        return Response(
            await asyncio.to_thread(png, restored.output),
            media_type="image/png",
            headers={
                "X-Model-Version": self._version,
                "X-Seconds": f"{time.monotonic() - begin:.3f}",
            },
        )

    @api.get("/v1/models")
    async def models_http(self) -> dict[str, Any]:
        """The version that answers, and the tasks that it was trained on."""
        return {"version": self._version, "tasks": list(self._restorer.model.tasks)}


def start_serve() -> None:
    """On a shared cluster (RAY_ADDRESS) with HTTP on loopback, on a private one without."""
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    if os.environ.get("RAY_ADDRESS"):
        port = int(os.environ.get("DRDD_SERVE_PORT", DEFAULT_PORT))
        serve.start(
            http_options=HTTPOptions(host="127.0.0.1", port=port),
            proxy_location=ProxyLocation.HeadOnly,
        )
    else:
        serve.start(proxy_location=ProxyLocation.Disabled)


@contextmanager
def candidate(folder: Path, threads: int) -> Iterator[DeploymentHandle]:
    """Deploy the model in `folder` for the duration of the block; reachable by handle alone."""
    start_serve()
    try:
        yield serve.run(_bound(folder, CANDIDATE, threads), name=CANDIDATE, route_prefix=None)
    finally:
        serve.delete(CANDIDATE)


def deploy(folder: Path, version: str, threads: int) -> bool:
    """Serve `version` at /; swapped inside the running replica if there is one. True if it changed.

    Raises UserError when the model does not load; what served before goes on serving.
    """
    start_serve()
    if SERVICE in serve.status().applications:
        handle = serve.get_app_handle(SERVICE)
        if handle.version.remote().result() == version:
            return False
        try:
            handle.swap.remote(str(folder.absolute()), version).result()
        except Exception as error:
            raise UserError(
                f"version {version} does not load, the old one still serves: {error}"
            ) from None
        return True
    Restorer.from_folder(folder)
    serve.run(_bound(folder, version, threads), name=SERVICE, route_prefix="/")
    return True


def _bound(folder: Path, version: str, threads: int) -> serve.Application:
    deployment: Any = Restoring  # the decorators change the class into a deployment
    bound: serve.Application = deployment.bind(str(folder.absolute()), version, threads)
    return bound
