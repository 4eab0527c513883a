"""What a visitor of the page does, and sees."""

from collections.abc import Callable

from playwright.sync_api import FilePayload, Page, expect

Opened = Callable[..., Page]


def give(page: Page, name: str, content: bytes) -> None:
    """Choose a file."""
    page.locator("#file").set_input_files(
        FilePayload(name=name, mimeType="image/png", buffer=content)
    )


def result_of(page: Page, name: str) -> None:
    expect(page.locator("#result-name")).to_have_text(name)
    expect(page.locator("#waiting")).to_be_hidden()
