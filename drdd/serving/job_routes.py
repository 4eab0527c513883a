"""/v1/jobs, for pictures that take minutes: sent as a request to /v1/restore is, and asked about later."""

import asyncio
import math
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.params import Depends as Dependency

from drdd.serving.asked import ApiLimits, checked, in_words, opened, received
from drdd.serving.jobs import Full, GoneError, Store, Told
from drdd.serving.memory import MemoryBudget, Slots
from drdd.serving.problems import ProblemError, documented
from drdd.serving.running import Runner, Work
from drdd.serving.schema import JobOut, RestoreQuery, once, only, request_body
from drdd.serving.service import Service
from drdd.serving.telemetry import Telemetry

LONGEST_WAIT_S = 30.0
SOON = {"Retry-After": "1"}
UNKNOWN = "there is no such job"
SAID = {
    "cancelled": "the job was cancelled",
    "expired": "the result was kept for as long as was said, and is gone; send the picture again",
    "lost": "the job was lost by a restart of the service; send the picture again",
}
REFUSALS = {
    401: "no valid API key",
    404: "there is no such job of this key",
    409: "there is no result yet",
    410: "the job was cancelled, has expired, or was lost by a restart",
    422: "an option that this request does not have",
    429: "this key has as many jobs as it may",
    503: "the service has as many jobs as it keeps, or their keeper is being restarted",
}


def router(
    service: Service,
    limits: ApiLimits,
    budget: MemoryBudget,
    slots: Slots,
    store: Store,
    telemetry: Telemetry,
    allowed: Sequence[Dependency],
    refusals: dict[int, str],
) -> APIRouter:
    """refusals: of /v1/restore, which a job meets when it is sent."""
    runner = Runner(service, limits, budget, store, telemetry)
    routes = APIRouter(
        tags=["jobs"],
        dependencies=list(allowed),
        on_startup=[_starting(runner)],
        on_shutdown=[runner.stop],
    )

    @routes.post(
        "/v1/jobs",
        status_code=202,
        dependencies=[Depends(once)],
        responses=documented({**refusals, 429: REFUSALS[429]}),
        openapi_extra={"requestBody": request_body()},
    )
    async def send(
        request: Request, response: Response, query: Annotated[RestoreQuery, Query()]
    ) -> JobOut:
        """Body and query as of /v1/restore. What can be refused is refused now."""
        runner.start()
        try:
            with in_words(), slots.taken(), budget.reservation() as memory:
                sent = await received(request, limits, memory)
                async with asyncio.timeout(limits.timeout_s):
                    now = checked(service, sent, query)
                    await opened(sent, query, now.scale, limits, memory)
                    work = Work(sent, query.model_dump(exclude_unset=True), request.state.id)
                    size = sent.size + memory.size
                    told = await store.add(_owner(request), work.packed(), size, now.version)
        except TimeoutError:
            raise ProblemError(503, "the picture could not be taken in time", SOON) from None
        except GoneError as error:
            raise _gone(error) from None
        if isinstance(told, Full):
            raise _refused(told)
        response.headers["Location"] = f"/v1/jobs/{told.id}"
        response.headers.update({**SOON, "Cache-Control": "no-store"})
        return JobOut.of(told)

    @routes.get(
        "/v1/jobs/{id_}",
        dependencies=[Depends(only("wait"))],
        responses=_documented(401, 404, 410, 422, 503),
    )
    async def ask(
        id_: str,
        request: Request,
        response: Response,
        wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT_S, allow_inf_nan=False)] = 0.0,
    ) -> JobOut:
        """How far it is. wait: seconds to wait for a change."""
        told = await _found(request, id_, wait)
        response.headers["Cache-Control"] = "no-store"
        if not told.ended:
            response.headers.update(SOON)
        return JobOut.of(told)

    @routes.get(
        "/v1/jobs/{id_}/result",
        dependencies=[Depends(only())],
        response_class=Response,
        responses={
            200: {"description": "what /v1/restore would have answered; also its refusals"},
            **_documented(401, 404, 409, 410, 422, 503),
        },
    )
    async def fetch(id_: str, request: Request) -> Response:
        told = await _found(request, id_)
        if not told.ended:
            said = f"the job is {told.status}, {told.progress:g} % done; ask again later"
            raise ProblemError(409, said, SOON)
        try:
            _, result = await store.result(id_, _owner(request))
        except GoneError as error:
            raise _gone(error) from None
        if result is None:
            raise ProblemError(410, SAID.get(told.status, SAID["expired"]))
        return Response(result.body, result.status, result.headers)

    @routes.delete(
        "/v1/jobs/{id_}",
        dependencies=[Depends(only())],
        responses=_documented(401, 404, 410, 422, 503),
    )
    async def cancel(id_: str, request: Request) -> JobOut:
        """End it: its restoring stops at the next tile. Of one that is done, the result is forgotten."""
        before = await _found(request, id_)
        try:
            told = await store.cancel(id_, _owner(request))
        except GoneError as error:
            raise _gone(error) from None
        if told is None:
            raise ProblemError(404, UNKNOWN)
        if not before.ended:
            telemetry.job_ended("cancelled")
        return JobOut.of(_there(told))

    async def _found(request: Request, id_: str, wait_s: float = 0.0) -> Told:
        try:
            told = await store.look(id_, _owner(request), wait_s)
        except GoneError as error:
            raise _gone(error) from None
        if told is None:
            raise ProblemError(404, UNKNOWN)
        return _there(told)

    return routes


def _starting(runner: Runner) -> Any:
    async def start() -> None:
        runner.start()

    return start


def _owner(request: Request) -> str:
    """The key's hash; "" where none is needed."""
    owner: str = getattr(request.state, "owner", "")
    return owner


def _there(told: Told) -> Told:
    """Raises ProblemError, 410, for one of which only this is known."""
    if told.status in ("expired", "lost"):
        raise ProblemError(410, SAID[told.status])
    return told


def _gone(error: GoneError) -> ProblemError:
    return ProblemError(503, f"{error}; ask again", {"Retry-After": "2"})


def _refused(full: Full) -> ProblemError:
    after = {"Retry-After": str(max(1, math.ceil(full.retry_after_s)))}
    if full.own:
        said = "this key has as many jobs as it may; fetch and DELETE one, or come back later"
        return ProblemError(429, said, after)
    return ProblemError(503, "the service has as many jobs as it keeps; come back later", after)


def _documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return documented({status: REFUSALS[status] for status in statuses})
