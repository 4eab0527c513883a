"""The brush of the page in a real browser: by mouse, finger and keyboard; the mask that is sent."""

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from drdd.pictures.pixels import Hole
from tests.inference.blurring import Fake, noise_png
from tests.serving.page.by_hand import Opened, give, result_of

pytestmark = pytest.mark.slow
HEIGHT, WIDTH = 120, 180


def _open(opened: Opened, **settings: object) -> Page:
    """The page with a picture and the brush open."""
    page = opened(**settings)
    picture = noise_png((WIDTH, HEIGHT))
    give(page, "a.png", picture)
    result_of(page, "a.png")
    page.get_by_text("Fill only a part").click()
    expect(page.locator("#brush-mask")).to_be_visible()
    return page


def _size(page: Page, pixels: int) -> None:
    page.locator("#brush-size").fill(str(pixels))


def _drag(page: Page, *points: tuple[int, int]) -> None:
    """points: (x, y) in pixels of the picture."""
    box = page.locator("#brush-mask").bounding_box()
    assert box is not None
    scale = box["width"] / WIDTH
    page.locator("#brush-mask").scroll_into_view_if_needed()
    box = page.locator("#brush-mask").bounding_box()
    assert box is not None
    for n, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * scale, box["y"] + y * scale, steps=4)
        if n == 0:
            page.mouse.down()
    page.mouse.up()


def _sent(page: Page, fake: Fake) -> Hole:
    """Fill, and the hole that the service got."""
    before = len(fake.holes)
    with page.expect_response("**/v1/restore*"):
        page.get_by_role("button", name="Fill what is marked").click()
    result_of(page, "a.png")
    expect(page.locator("#problem")).to_be_hidden()
    assert len(fake.holes) == before + 1
    hole = fake.holes[-1]
    assert hole is not None
    assert hole.shape == (HEIGHT, WIDTH)
    return hole


def _band(top: float, bottom: float, left: float, right: float) -> Hole:
    rows, columns = np.arange(HEIGHT)[:, None] + 0.5, np.arange(WIDTH) + 0.5
    return (rows > top) & (rows < bottom) & (columns > left) & (columns < right)


@pytest.mark.parametrize("device_scale_factor", [1, 2])
def test_a_stroke_marks_the_pictures_own_pixels(
    opened: Opened,
    fake: Fake,
    device_scale_factor: int,
) -> None:
    page = _open(opened, device_scale_factor=device_scale_factor)
    assert fake.holes == [None]
    _size(page, 20)
    _drag(page, (40, 60), (140, 60))
    hole = _sent(page, fake)
    assert hole[_band(52, 68, 40, 140)].all()
    assert not hole[~_band(48, 72, 28, 152)].any()
    with page.expect_response("**/v1/restore*"):
        page.get_by_role("button", name="Restore again").click()
    assert fake.holes[-1] is None, "the whole picture, without the mask"


def test_strokes_are_undone_done_again_erased_inverted_and_cleared(
    opened: Opened,
    fake: Fake,
) -> None:
    page = _open(opened)
    _size(page, 16)
    _drag(page, (20, 30), (100, 30))
    _drag(page, (20, 90), (100, 90))
    both = _sent(page, fake)
    page.get_by_role("button", name="Undo").click()
    first = _sent(page, fake)
    assert first.sum() < both.sum()
    assert not first[_band(60, 120, 0, 180)].any()
    page.get_by_role("button", name="Redo").click()
    assert np.array_equal(_sent(page, fake), both)
    page.get_by_role("button", name="Erase").click()
    _size(page, 40)
    _drag(page, (10, 90), (120, 90))
    assert np.array_equal(_sent(page, fake)[:60], first[:60])
    assert not fake.holes[-1][_band(72, 108, 12, 118)].any()  # type: ignore[index]
    page.get_by_role("button", name="Invert").click()
    assert np.mean(_sent(page, fake) == ~first) > 0.99
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Fill what is marked").click()
    expect(page.locator("#brush-status")).to_have_text("Nothing is marked yet.")
    page.locator("#brush-mask").press("Control+z")
    assert np.mean(_sent(page, fake) == ~first) > 0.99


def test_by_keyboard_alone(opened: Opened, fake: Fake) -> None:
    page = _open(opened)
    _size(page, 20)
    canvas = page.locator("#brush-mask")
    canvas.focus()
    expect(page.locator("#brush-ring")).to_be_visible()
    canvas.press("ArrowLeft")
    expect(page.locator("#brush-status")).to_have_text("80, 60")
    page.keyboard.down("Space")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.up("Space")
    expect(page.locator("#brush-status")).to_contain_text("110, 60")
    page.keyboard.press("ArrowRight")
    hole = _sent(page, fake)
    assert hole[_band(53, 67, 78, 112)].all()
    assert not hole[~_band(48, 72, 68, 122)].any()
    canvas.focus()
    for _ in range(4):
        page.keyboard.press("Control+z")
    page.keyboard.press("e")
    expect(page.get_by_role("button", name="Erase")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("e")
    page.keyboard.press("+")
    expect(page.locator("#brush-status")).to_have_text("The brush is 25 pixels wide.")
    page.keyboard.press("Space")
    assert 400 < _sent(page, fake).sum() < 600  # pi * 12.5^2 is 491


def test_a_finger_paints_and_does_not_scroll(
    opened: Opened,
    fake: Fake,
) -> None:
    page = _open(opened, viewport={"width": 360, "height": 740}, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("#brush-mask").scroll_into_view_if_needed()
    page.locator("#brush-mask").tap(position={"x": 90, "y": 60})
    assert _sent(page, fake).any()
    assert page.locator("#brush-mask").evaluate("c => getComputedStyle(c).touchAction") == "none"


def test_another_picture_has_no_mask(opened: Opened, fake: Fake) -> None:
    page = _open(opened)
    _drag(page, (20, 30), (100, 30))
    _sent(page, fake)
    give(page, "b.png", noise_png((90, 70)))
    result_of(page, "b.png")
    assert fake.holes[-1] is None
    page.get_by_text("Fill only a part").click()
    page.get_by_role("button", name="Fill what is marked").click()
    expect(page.locator("#brush-status")).to_have_text("Nothing is marked yet.")
