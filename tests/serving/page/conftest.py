"""The page of a stand-in for the service, in a real browser; from its own origin alone."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, Page, Route, expect

from tests.inference.blurring import Fake, noise_png
from tests.serving.screenshot import browser


@pytest.fixture
def samples(tmp_path: Path) -> dict[str, Path]:
    for seed, name in enumerate(("dark_street.png", "rain.png")):
        (tmp_path / name).write_bytes(noise_png(seed=seed))
    return {name: tmp_path / name for name in ("dark_street.png", "rain.png")}


@pytest.fixture
def fake(request: pytest.FixtureRequest) -> Fake:
    """Open, unless the test is parametrized with a key."""
    return Fake(getattr(request, "param", None))


@pytest.fixture
def client(fake: Fake, samples: dict[str, Path]) -> TestClient:
    return TestClient(fake.app(samples))


@pytest.fixture(scope="module")
def _browser() -> Iterator[Browser]:
    with browser() as running:
        yield running


@pytest.fixture
def url(fake: Fake, samples: dict[str, Path]) -> Iterator[str]:
    """The fake service on a loopback port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(
            uvicorn.Config(fake.app(samples), lifespan="off", log_level="error")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


@pytest.fixture
def opened(_browser: Browser, url: str) -> Iterator[Callable[..., Page]]:
    """opened(**settings of the context) -> the page; in the end, nothing foreign and no error."""
    contexts, foreign, errors = [], [], []

    def heard(kind: str, text: str) -> None:
        if kind == "error" and not text.startswith("Failed to load resource"):
            errors.append(text)

    def guard(route: Route) -> None:
        if route.request.url.startswith(url):
            route.continue_()
        else:
            foreign.append(route.request.url)
            route.abort()

    def open_page(**settings: Any) -> Page:
        context = _browser.new_context(**settings)
        contexts.append(context)
        context.route(re.compile("^(?!data:|blob:)"), guard)
        page = context.new_page()
        page.on("console", lambda message: heard(message.type, message.text))
        page.on("pageerror", lambda error: heard("error", str(error)))
        page.goto(url)
        expect(page.locator("#samples button")).to_have_count(2)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not foreign
    assert not errors
