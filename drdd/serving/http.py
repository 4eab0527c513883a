"""The HTTP API of a `Service`. It does not depend on Ray."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi_offline import FastAPIOffline
from prometheus_client.metrics_core import Metric

from drdd.serving import job_routes, page
from drdd.serving.asked import ApiLimits, checked, in_words, opened, received, restored
from drdd.serving.jobs import Jobs, Store
from drdd.serving.keys import KeyedPages, Keys
from drdd.serving.memory import Slots, memory_budget
from drdd.serving.problems import ProblemError, documented, explain_all
from drdd.serving.reading import MIB
from drdd.serving.responses import response_of
from drdd.serving.schema import (
    BINARY,
    NOTED,
    LimitsOut,
    ModelsOut,
    ReadyOut,
    RestoredOut,
    RestoreQuery,
    ServedOut,
    StatusOut,
    once,
    only,
    request_body,
)
from drdd.serving.service import Answer, Service
from drdd.serving.telemetry import MEDIA_TYPE, Telemetry, text

Families = Mapping[str, Sequence[Metric]]
SCRAPES = 8  # of /metrics at a time, each of which asks all replicas
GONE = 499  # the client has disconnected; the status that proxies use for it
REFUSALS = {
    401: "no valid API key",
    404: "no such model is served",
    408: "the body took too long to arrive",
    413: "the body or the picture is too large",
    415: "the content type is not that of a picture",
    422: "the query or the picture cannot be used",
    503: "as many requests wait as may, or it took too long; come back after Retry-After seconds",
}


def make_api(
    service: Service,
    limits: ApiLimits,
    samples: Mapping[str, Path],
    telemetry: Telemetry | None = None,
    collect: Callable[[], Awaitable[Families]] | None = None,
    jobs: Store | None = None,
) -> FastAPI:
    """Make the API. samples: sample pictures of the page, by name.

    telemetry: counts requests; collect: returns the families of all replicas, by replica, for /metrics; by
    default those of `telemetry`. jobs: in this process, unless given.
    """
    api = FastAPIOffline(
        title="drdd",
        version="1",
        description="Image restoration by decoupled residual denoising diffusion (arXiv 2606.01048).",
        redirect_slashes=False,  # the redirect would lead to any host in the client's Host header
    )
    telemetry = telemetry or Telemetry(service)
    allowed = []
    if limits.api_keys:
        keys = Keys(limits.api_keys)
        allowed = [Depends(keys.guard())]
        if "docs" not in limits.keyless:
            api.add_middleware(KeyedPages, keys, _docs(api))
    explain_all(api)  # outermost, for it gives requests their ids
    max_bytes = int(limits.max_megabytes * MIB)
    budget, slots = memory_budget(max_bytes, limits.max_pixels), Slots(limits.at_once)

    @api.post(
        "/v1/restore",
        tags=["restore"],
        dependencies=[*allowed, Depends(once)],
        response_class=Response,
        responses={
            200: {
                "description": "the restored picture, of the size that was sent or `scale` times that; "
                "or what `answer` says",
                "headers": NOTED,
                "content": {
                    **{f"image/{name}": BINARY for name in ("png", "jpeg", "webp")},
                    "application/json": {"schema": RestoredOut.model_json_schema()},
                },
            },
            **documented(REFUSALS),
        },
        openapi_extra={"requestBody": request_body()},
    )
    async def restore(request: Request, query: Annotated[RestoreQuery, Query()]) -> Response:
        """The body is a PNG, JPEG or WebP file: as such, or as the part `image` of a form."""
        begin, answer, status = time.monotonic(), None, 500
        with telemetry.in_flight.track_inprogress():
            try:
                with in_words(), slots.taken(), budget.reservation() as memory:
                    sent = await received(request, limits, memory)
                    async with asyncio.timeout(limits.timeout_s):
                        scale = checked(service, sent, query).scale
                        picture = await opened(sent, query, scale, limits, memory)
                        del sent
                        restoring = restored(service, picture, query)
                        answer = await _while_wanted(request, restoring)
                        response = await asyncio.to_thread(
                            response_of, answer, query, picture.carried, request.state.id
                        )
                status = 200
                return response
            except TimeoutError:
                status = 503
                said = (
                    f"not restored within {limits.timeout_s:g} s; try a smaller picture, or later"
                )
                raise ProblemError(503, said, {"Retry-After": "5"}) from None
            except ProblemError as error:
                status = error.status
                raise
            finally:
                telemetry.answered(status, time.monotonic() - begin, answer)

    @api.get(
        "/v1/models",
        tags=["models"],
        dependencies=[*allowed, Depends(only())],
        responses=documented({401: REFUSALS[401], 422: "it has no options"}),
    )
    async def models() -> ModelsOut:
        """What is served, how good it was found to be, and the limits of a request."""
        served = [ServedOut.of(one) for one in service.models()]
        return ModelsOut(
            models=served,
            default=served[0].alias if served else "",
            limits=LimitsOut(
                max_megabytes=limits.max_megabytes,
                max_pixels=limits.max_pixels,
                api_keys=bool(limits.api_keys),
            ),
        )

    @api.get("/v1/health", tags=["state"])
    async def health() -> StatusOut:
        """The process is alive."""
        return StatusOut(status="alive")

    @api.get("/v1/ready", tags=["state"], responses=documented({503: "no model is loaded"}))
    async def ready() -> ReadyOut:
        """A model is loaded, so that requests will be answered."""
        if (why := service.ready()) is not None:
            raise ProblemError(503, why, {"Retry-After": "5"})
        return ReadyOut(status="ready", max_bytes=max_bytes)

    scrapes = Slots(SCRAPES)

    @api.get(
        "/metrics",
        tags=["state"],
        dependencies=[] if "metrics" in limits.keyless else allowed,
        response_class=Response,
        responses={
            200: {"description": "Prometheus's text format", "content": {"text/plain": {}}},
            **documented({status: REFUSALS[status] for status in (401, 503)}),
        },
    )
    async def metrics() -> Response:
        with in_words(), scrapes.taken():
            families = await collect() if collect else {"": telemetry.families()}
        return Response(text(families), headers={"Content-Type": MEDIA_TYPE})

    store = jobs or Jobs(limits.jobs)
    api.include_router(
        job_routes.router(service, limits, budget, slots, store, telemetry, allowed, REFUSALS)
    )
    api.include_router(page.router(samples))
    return api


def _docs(api: FastAPI) -> set[str]:
    """The paths of the API's document and its pages, without the scripts that these use."""
    return {"/docs", "/redoc", str(api.swagger_ui_oauth2_redirect_url), str(api.openapi_url)}


async def _while_wanted(request: Request, restoring: Awaitable[Answer]) -> Answer:
    """Await the answer, and cancel it when the client disconnects."""
    work = asyncio.ensure_future(restoring)
    left = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ProblemError(GONE, "the client left")
        return work.result()
    finally:
        for task in (work, left):
            task.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
