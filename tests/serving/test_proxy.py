"""What Serve answers by itself becomes a problem in JSON; what the API answers stays as it is."""

from importlib import import_module

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from drdd.serving.problems import MEDIA_TYPE
from drdd.serving.proxy import SETTING, Explained, layers, middlewares

ANSWERS = {
    "/dead": PlainTextResponse("Internal Server Error", 500),
    "/full": PlainTextResponse("queue is full", 503),
    "/own": Response(b"{}", 503, {"Retry-After": "7"}, MEDIA_TYPE),
    "/good": PlainTextResponse("restored"),
    "/absent": PlainTextResponse("no such route", 404),
    "/-/healthz": PlainTextResponse("draining", 503),
}


@pytest.fixture
def client() -> TestClient:
    def answer(request: Request) -> Response:
        return ANSWERS[request.url.path]

    routes = [Route(path, answer) for path in ANSWERS]
    return TestClient(Starlette(routes=routes, middleware=layers()[::-1]), "http://localhost")


@pytest.mark.parametrize("path", ["/dead", "/full"])
def test_serves_own_failures_may_be_tried_again(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    assert answer.json()["status"] == 503


def test_what_is_not_answered_at_all_may_be_tried_again() -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        """As Serve is when a replica dies."""

    answer = TestClient(Explained(silent)).post("/v1/restore")
    assert (answer.status_code, answer.json()["status"]) == (503, 503)
    assert "Retry-After" in answer.headers


@pytest.mark.parametrize("path", ["/own", "/good", "/absent", "/-/healthz"])
def test_everything_else_passes(client: TestClient, path: str) -> None:
    answer, expected = client.get(path), ANSWERS[path]
    assert (answer.status_code, answer.content) == (expected.status_code, expected.body)
    assert answer.headers.get("Retry-After") == expected.headers.get("Retry-After")


def test_the_setting_names_what_serve_calls() -> None:
    (address,) = SETTING.values()
    module, _, name = address.partition(":")
    assert getattr(import_module(module), name) is middlewares
