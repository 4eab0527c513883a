"""Metrics and docs are behind the key when there is one; the page and the state of the service are not."""

import io
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from drdd.serving.asked import ApiLimits
from drdd.serving.http import make_api
from tests.inference.blurring import Fake
from tests.serving.fakes import FakeService, proxied
from tests.serving.screenshot import browser

KEY = "a-long-random-key"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


CLOSED = ("/metrics", "/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect")
OPEN = ("/", "/static/page.js", "/samples", "/v1/health", "/v1/ready")


def _statuses(
    url: str, headers: dict[str, str], paths: tuple[str, ...] = CLOSED + OPEN
) -> set[int]:
    return {httpx.get(f"{url}{path}", headers=headers).status_code for path in paths}


def test_metrics_and_docs_need_the_key_and_the_page_does_not(service: FakeService) -> None:
    with proxied(make_api(service, ApiLimits(1, 300_000, 20, (KEY,)), {})) as url:
        for headers in ({}, {"X-API-Key": "another"}, {"Authorization": "Basic eDp5"}):
            assert _statuses(url, headers, CLOSED) == {401}
            assert _statuses(url, headers, OPEN) == {200}
        assert _statuses(url, {"X-API-Key": KEY}) == {200}
        assert _statuses(url, {"Authorization": f"Bearer {KEY}"}) == {200}
        assert httpx.get(f"{url}/docs", auth=("anyone", KEY)).status_code == 200
        refused = httpx.get(f"{url}/docs")
        assert refused.headers["www-authenticate"].startswith("Basic ")
        assert refused.json()["instance"] == refused.headers["x-request-id"]
        # The page asks for the key itself: a browser's own dialogue would cover it.
        assert httpx.get(f"{url}/v1/models").headers["www-authenticate"] == "Bearer"


def test_the_option_opens_them(service: FakeService) -> None:
    for keyless, opened in ((("metrics",), CLOSED[:1]), (("docs",), CLOSED[1:])):
        with proxied(make_api(service, ApiLimits(1, 300_000, 20, (KEY,), keyless), {})) as url:
            closed = tuple(path for path in CLOSED if path not in opened)
            assert _statuses(url, {}, opened) == {200}
            assert _statuses(url, {}, closed) == {401}


@pytest.mark.slow
def test_a_browser_reads_the_docs_with_the_key_as_password(chromium: Browser) -> None:
    with proxied(Fake(KEY).app({})) as url:
        context = chromium.new_context(http_credentials={"username": "me", "password": KEY})
        page = context.new_page()
        page.goto(f"{url}/docs")
        expect(page.get_by_text("/v1/restore").first).to_be_visible()
        context.close()


@pytest.mark.slow
def test_the_page_works_with_a_key_behind_the_proxy(chromium: Browser) -> None:
    fake = Fake(KEY)
    with proxied(fake.app({})) as url:
        page = chromium.new_page()
        page.goto(url)
        field = page.get_by_label("This service wants an API key")
        field.fill(KEY)
        field.press("Enter")
        expect(field).to_be_hidden()
        picture = io.BytesIO()
        Image.new("RGB", (20, 20), "teal").save(picture, "PNG")
        page.locator("#file").set_input_files(
            {"name": "a.png", "mimeType": "image/png", "buffer": picture.getvalue()}
        )
        expect(page.locator("#result-name")).to_have_text("a.png")
        page.close()
    assert len(fake.asked) == 1
