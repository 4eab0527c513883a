"""A picture of the page in a real browser.

    python -m tests.serving.screenshot URL docs/service.png [SAMPLE]

URL is a service that runs; SAMPLE is the name of one of its samples, the first by default.
"""

import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """The path of an installed Chromium; DRDD_CHROMIUM names another one."""
    found = [os.environ.get("DRDD_CHROMIUM"), *map(shutil.which, NAMES)]
    path = next(filter(None, found), None)
    if path is None:
        raise FileNotFoundError(
            "the page is tested in a real browser and none is installed: "
            "apt-get install chromium (Debian), or name one in DRDD_CHROMIUM"
        )
    return path


@contextmanager
def browser(*arguments: str) -> Iterator[Browser]:
    """Headless, for as long as the block runs. Chromium's own sandbox cannot be had as root."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", *arguments]
        )
        try:
            yield running
        finally:
            running.close()


def take(url: str, target: Path, sample: str | None = None) -> None:
    """The whole page with one sample restored."""
    with browser() as running:
        page = running.new_page(viewport={"width": 1024, "height": 760})
        page.goto(url)
        names = page.locator("#samples button")
        chosen = names.filter(has_text=sample) if sample else names
        chosen.first.click()
        page.locator("#result").wait_for(timeout=120_000)
        page.locator("#about").wait_for()
        page.mouse.move(0, 0)
        shot = page.screenshot(full_page=True)
    # 256 colours are a third of the bytes, and for a page with photographs enough.
    Image.open(io.BytesIO(shot)).convert("RGB").quantize(256).save(target, optimize=True)


if __name__ == "__main__":
    take(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:4])
