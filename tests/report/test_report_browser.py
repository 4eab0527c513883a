"""The report in a real browser, from file://: it fits a phone, asks nobody, and works by keyboard."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser

from drdd.report.report import write_report
from tests.report.findings import findings
from tests.serving import screenshot

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with screenshot.browser() as running:
        yield running


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, findings("0c4a3f15" * 8))
    return path.as_uri()


@pytest.mark.parametrize("width", [375, 720, 1099, 1360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_never_scrolls_sideways_nor_asks_anybody(
    browser: Browser, address: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 812}, color_scheme=scheme)
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    for folded in page.query_selector_all("summary"):
        folded.click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert said == []
    page.close()


@pytest.mark.gate
@pytest.mark.parametrize("section", ["#champion", "#task-haze"])
def test_the_slider_moves_by_arrow_keys(browser: Browser, address: str, section: str) -> None:
    page = browser.new_page()
    page.goto(address)
    slider = page.locator(f"{section} .compare input").first
    before = page.locator(f"{section} .compare .before").first
    slider.focus()
    clips = [before.evaluate("e => getComputedStyle(e).clipPath")]
    page.keyboard.press("ArrowRight")
    assert slider.input_value() == "51"
    clips.append(before.evaluate("e => getComputedStyle(e).clipPath"))
    page.keyboard.press("Home")
    clips.append(before.evaluate("e => getComputedStyle(e).clipPath"))
    assert len(set(clips)) == 3
    page.close()


def test_a_click_on_a_heading_sorts_by_its_numbers(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    page.locator("#pictures summary").click()
    heading = page.get_by_role("button", name="PSNR gain")

    def gains() -> list[float]:
        cells = page.locator("#pictures tbody tr td:nth-child(5)").all_text_contents()
        return [float(text) for text in cells]

    unsorted = gains()
    heading.click()
    assert gains() == sorted(unsorted, reverse=True) != unsorted
    heading.click()
    assert gains() == sorted(unsorted)
    assert page.locator("#pictures th[aria-sort]").get_attribute("aria-sort") == "ascending"
    page.close()


def test_without_scripts_input_and_output_stand_side_by_side(
    browser: Browser, address: str
) -> None:
    page = browser.new_page(java_script_enabled=False, viewport={"width": 1360, "height": 900})
    page.goto(address)
    left, right = (page.locator(f".compare .{side}").first for side in ("before", "after"))
    one, other = left.bounding_box(), right.bounding_box()
    assert one is not None
    assert other is not None
    assert one["x"] + one["width"] <= other["x"]
    assert one["y"] == other["y"]
    assert not page.locator(".compare input").first.is_visible()
    page.close()


def test_both_schemes_differ_and_text_stands_out(browser: Browser, address: str) -> None:
    colours = set()
    schemes: list[Literal["light", "dark"]] = ["light", "dark"]
    for scheme in schemes:
        page = browser.new_page(color_scheme=scheme)
        page.goto(address)
        style = "getComputedStyle(document.body)"
        paper, ink = (
            page.evaluate(f"{style}.{name}.match(/\\d+/g).map(Number)")
            for name in ("backgroundColor", "color")
        )
        assert abs(sum(paper) - sum(ink)) > 3 * 128
        colours.add(tuple(paper))
        page.close()
    assert len(colours) == 2
