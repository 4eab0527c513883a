"""The page in a real browser: what a picture carries is in the download, and what was converted is said."""

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from drdd.pictures.code_points import profile_of
from tests.corpora import encoded, scene
from tests.formats.samples import Base, Gps, camera_exif, image_of
from tests.inference.blurring import STATES, Fake, blur
from tests.serving.page.by_hand import Opened, give, result_of

pytestmark = pytest.mark.slow
PICTURE = scene(0, 60, 90)


def _restored(page: Page, name: str, content: bytes) -> bytes:
    """What is downloaded."""
    give(page, name, content)
    result_of(page, name)
    return _downloaded(page)


def _downloaded(page: Page) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the output").click()
    return download.value.path().read_bytes()


def _again(page: Page) -> bytes:
    with page.expect_response("**/v1/restore*"):
        page.get_by_role("button", name="Restore again").click()
    expect(page.locator("#waiting")).to_be_hidden()
    return _downloaded(page)


def test_metadata_is_in_the_download_unless_it_identifies(opened: Opened, fake: Fake) -> None:
    page = opened()
    body = encoded(Image.fromarray(PICTURE), "PNG", exif=camera_exif(6), dpi=(300, 300))
    image = image_of(_restored(page, "a.png", body))
    exif = image.getexif()
    assert image.size == (60, 90)
    assert (exif[Base.Orientation], exif[Base.Artist]) == (1, "A. Person")
    assert exif.get_ifd(Gps)
    assert round(image.info["dpi"][0]) == 300
    expect(page.locator("#notes")).to_be_hidden()
    expected = blur(np.rot90(PICTURE, -1).copy(), len(STATES) - 1)
    assert np.array_equal(np.asarray(image), expected)
    page.get_by_text("Options").click()
    page.get_by_label("Metadata of the output").select_option("without names and places")
    exif = image_of(_again(page)).getexif()
    assert (exif[Base.Model], exif.get(Base.Artist)) == ("Model 5", None)
    assert not exif.get_ifd(Gps)
    page.get_by_label("Metadata of the output").select_option("none")
    assert not image_of(_again(page)).getexif()


def test_a_profile_is_said_or_kept(opened: Opened, fake: Fake) -> None:
    page = opened(viewport={"width": 360, "height": 740})
    profile = profile_of(12, 1)
    body = encoded(Image.fromarray(PICTURE), "PNG", icc_profile=profile)
    assert "icc_profile" not in image_of(_restored(page, "a.png", body)).info
    expect(page.locator("#notes")).to_have_text("In the output: Display P3 \u2192 sRGB.")
    page.get_by_text("Options").click()
    page.get_by_label("Colours of the output").select_option("the picture's own profile")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert image_of(_again(page)).info["icc_profile"] == profile
    expect(page.locator("#notes")).to_be_hidden()


def test_transparency_is_in_the_download(opened: Opened, fake: Fake) -> None:
    page = opened()
    alpha = np.random.default_rng(0).integers(0, 256, (60, 90), dtype=np.uint8)
    body = encoded(Image.fromarray(np.dstack([PICTURE, alpha])), "PNG")
    found = np.asarray(image_of(_restored(page, "a.png", body)))
    assert np.array_equal(found[..., 3], alpha)
    assert np.array_equal(found[..., :3], blur(PICTURE, len(STATES) - 1))


def test_the_notes_of_a_large_picture_are_said_too(opened: Opened, fake: Fake) -> None:
    """Which comes without states, so not in JSON."""
    page = opened()
    large = Image.new("RGB", (2000, 1001), "teal")
    body = encoded(large, "PNG", icc_profile=profile_of(12, 1))
    _restored(page, "a.png", body)
    expect(page.locator("#notes")).to_have_text("In the output: Display P3 \u2192 sRGB.")
