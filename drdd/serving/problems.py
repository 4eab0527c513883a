"""Errors as application/problem+json (RFC 9457), the form of every refusal."""

import logging
import secrets
from collections.abc import Mapping, Sequence
from http.client import responses
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEDIA_TYPE = "application/problem+json"
REQUEST_ID = "X-Request-Id"
OTHERS = "Client Closed Request"  # 499, which is not an HTTP standard
log = logging.getLogger(__name__)


class Wrong(BaseModel):
    """One part of a request that is not as it must be."""

    where: str = Field(examples=["query.steps"])
    what: str


class Problem(BaseModel):
    """A refusal: what was wrong, and what to do."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str
    instance: str = Field(description="the request's id, as in X-Request-Id and in the log")
    errors: list[Wrong] = Field(default=[], description="of the query, one by one")


class ProblemError(Exception):
    """Raised below the API and answered as a problem."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})


def documented(statuses: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """The documentation of each status, for FastAPI's `responses`."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schema["properties"]["errors"]["items"] = Wrong.model_json_schema()
    schema.pop("$defs", None)
    return {
        status: {"description": said, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status, said in statuses.items()
    }


def explain_all(api: FastAPI) -> None:
    """Turn every error of `api` into a problem. Unexpected errors are logged; the client gets their id."""
    api.add_exception_handler(ProblemError, _refused)
    api.add_exception_handler(HTTPException, _http)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_middleware(Identified)


class Identified:
    """ASGI middleware: gives each request an id, and answers 500 for unexpected errors."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})["id"] = request_id = secrets.token_hex(8)
        started = False

        async def identified(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [
                    *message.get("headers", []),
                    (REQUEST_ID.lower().encode(), request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        try:
            await self._app(scope, receive, identified)
        except Exception:
            log.exception("request %s failed", request_id)
            if started:
                raise
            answer = _answer(request_id, 500, "not foreseen; the service's log has it by this id")
            await answer(scope, receive, identified)


def problem(error: ProblemError, request_id: str) -> JSONResponse:
    """The answer to the request of this id."""
    return _answer(request_id, error.status, error.detail, error.headers)


def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)
    return problem(error, request.state.id)


def _http(request: Request, error: Exception) -> JSONResponse:
    """Errors of the router: no such path, no such method."""
    assert isinstance(error, HTTPException)
    said = {
        404: f"there is nothing at {request.url.path[:200]!r}; /docs lists what there is",
        405: f"{request.method} is not for {request.url.path[:200]!r}; /docs lists what is",
    }.get(error.status_code, str(error.detail))
    return _answer(request.state.id, error.status_code, said, dict(error.headers or {}))


def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    wrong = [
        Wrong(where=".".join(str(part) for part in item["loc"])[:200], what=str(item["msg"])[:300])
        for item in error.errors()[:20]
    ]
    detail = "; ".join(f"{one.where}: {one.what}" for one in wrong[:3])
    return _answer(request.state.id, 422, detail, errors=wrong)


async def refuse(error: ProblemError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request with a problem, for middleware that stands before the API."""
    headers = dict(error.headers)
    if (request_id := scope.get("state", {}).get("id")) is None:
        headers[REQUEST_ID] = request_id = secrets.token_hex(8)
    await _answer(request_id, error.status, error.detail, headers)(scope, receive, send)


def _answer(
    request_id: str,
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Wrong] = (),
) -> JSONResponse:
    said = Problem(
        title=responses.get(status, OTHERS),
        status=status,
        detail=detail,
        instance=request_id,
        errors=list(errors),
    )
    return JSONResponse(said.model_dump(), status, dict(headers or {}), MEDIA_TYPE)
