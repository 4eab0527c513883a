"""The page in a real browser: by mouse, by keyboard, on a phone, in the dark; from this origin alone."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from drdd.errors import UserError
from drdd.inference.options import Options
from drdd.serving.service import BusyError
from tests.inference.blurring import STATES, Fake, blur, noise_png
from tests.serving.page.by_hand import Opened, give, result_of


def _focused(page: Page) -> str:
    return page.evaluate("document.activeElement.id || document.activeElement.innerText.trim()")


def _tab_to(page: Page, name: str) -> None:
    for _ in range(30):
        page.keyboard.press("Tab")
        if _focused(page) == name:
            return
    raise AssertionError(f"Tab does not reach {name}")


slow = pytest.mark.slow


@pytest.mark.gate
@slow
def test_by_keyboard_alone(opened: Opened) -> None:
    page = opened()
    _tab_to(page, "rain")
    page.keyboard.press("Enter")
    result_of(page, "rain.png")
    assert _focused(page) == "slider"
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    slider = page.get_by_role("slider", name="Show more of the input or of the output")
    expect(slider).to_have_value("53")
    expect(slider).to_have_attribute("aria-valuetext", "53 % input")
    shown = page.locator("#before").evaluate("image => getComputedStyle(image).clipPath")
    assert shown == "inset(0px 47% 0px 0px)"
    _tab_to(page, "estimate")
    page.keyboard.press("Enter")
    expect(page.locator("#after-tag")).to_have_text("estimate")


@slow
def test_the_result_says_all_of_itself(opened: Opened) -> None:
    page = opened()
    page.get_by_role("button", name="dark street").click()
    result_of(page, "dark_street.png")
    expect(page.get_by_role("status")).to_contain_text(
        "dark_street.png is restored by champion, version a1b2c3d4e5f6, in 0.41 seconds."
    )
    numbers = page.locator("#numbers")
    for text in ("0.41 s", "0.02 s", "90 \u00d7 60", "a1b2c3d4e5f6"):
        expect(numbers).to_contain_text(text)
    states = page.locator("#states button")
    expect(states).to_have_text([*STATES[:-1], "de-noise 2: the output"])
    expect(states.last).to_have_attribute("aria-pressed", "true")
    states.nth(1).click()
    expect(states.last).to_have_attribute("aria-pressed", "false")
    shown = page.locator("#after").get_attribute("src")
    assert shown == states.nth(1).locator("img").get_attribute("src")


@slow
def test_the_output_that_is_downloaded_is_the_output(
    opened: Opened, samples: dict[str, Path]
) -> None:
    page = opened()
    page.get_by_role("button", name="rain").click()
    result_of(page, "rain.png")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the output").click()
    assert download.value.suggested_filename == "rain-restored.png"
    expected = blur(np.asarray(Image.open(samples["rain.png"])), len(STATES) - 1)
    assert np.array_equal(np.asarray(Image.open(download.value.path())), expected)


GIVE = """([kind, content, name, type]) => {
  const file = new File([Uint8Array.from(atob(content), c => c.charCodeAt(0))], name, {type});
  const data = new DataTransfer();
  data.items.add(file);
  const event = kind === "drop" ? new DragEvent("drop", {dataTransfer: data, bubbles: true})
    : new ClipboardEvent("paste", {clipboardData: data, bubbles: true});
  document.querySelector("#drop").dispatchEvent(event);
}"""


@slow
def test_a_picture_is_chosen_dropped_or_pasted(opened: Opened) -> None:
    page = opened()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a picture").click()
    chooser.value.set_files({"name": "a.png", "mimeType": "image/png", "buffer": noise_png()})
    result_of(page, "a.png")
    for kind, name in (("drop", "<img src=x onerror=alert(1)>.png"), ("paste", "c.png")):
        content = base64.b64encode(noise_png()).decode()
        page.evaluate(GIVE, [kind, content, name, "image/png"])
        result_of(page, name)


@slow
def test_the_options_are_sent_and_wrong_ones_are_not(opened: Opened, fake: Fake) -> None:
    page = opened()
    page.get_by_role("button", name="rain").click()
    result_of(page, "rain.png")
    page.get_by_text("Options").click()
    page.get_by_label("Steps of each part").fill("4")
    page.get_by_label("Noise level").fill("0.15")
    page.get_by_label("Seed").fill("7")
    page.get_by_role("combobox", name="Model").select_option("candidate")
    page.get_by_label("Seed").press("Enter")
    expect(page.locator("#numbers")).to_contain_text("0f9e8d7c6b5a")
    chosen = Options(
        residual_steps=4, noise_steps=4, noise_level=0.15, seed=7, states=True, scale=1
    )
    assert fake.asked == [("champion", Options(states=True, scale=1)), ("candidate", chosen)]
    page.get_by_label("Noise level").fill("1.5")
    page.get_by_text("Options").click()
    page.get_by_role("button", name="Restore again").click()
    expect(page.get_by_label("Noise level")).to_be_focused()
    assert len(fake.asked) == 2


@slow
def test_a_large_picture_comes_without_its_states(opened: Opened, fake: Fake) -> None:
    page = opened()
    blank = io.BytesIO()
    Image.new("RGB", (2000, 1001), "teal").save(blank, "PNG")
    give(page, "large.png", blank.getvalue())
    result_of(page, "large.png")
    assert fake.asked == [("champion", Options(scale=1))]
    expect(page.locator("#numbers")).to_contain_text("2000 \u00d7 1001")
    expect(page.locator("#states-note")).to_contain_text("up to 2 megapixels")


def _sampled(page: Page, samples: int) -> None:
    page.get_by_text("Options").click()
    page.get_by_label("Random samples").fill(str(samples))
    page.get_by_label("Random samples").press("Enter")
    expect(page.locator("#waiting")).to_be_hidden()


@slow
def test_where_the_samples_differ_is_shown_over_the_output(opened: Opened, fake: Fake) -> None:
    """By keyboard; the map takes the output's place, and gives it back to the output or to a state."""
    page = opened()
    page.get_by_role("button", name="rain").click()
    result_of(page, "rain.png")
    expect(page.locator("#sure")).to_be_hidden()
    _sampled(page, 8)
    expect(page.locator("#sure-words")).to_contain_text("the mean of 8 samples")
    expect(page.locator("#sure-words")).to_contain_text(
        "3.00 levels of 255 in the mean, 4.0 at most"
    )
    assert fake.asked[-1] == ("champion", Options(states=True, samples=8, scale=1))
    expect(page.locator("#states button")).to_have_text([*STATES, "output"])
    switch = page.get_by_role("checkbox", name="Show where the samples differ")
    drawn, tag = page.locator("#sure-map"), page.locator("#after-tag")
    expect(drawn).to_be_hidden()
    expect(page.locator(".legend")).to_have_text("08 levels or more")
    switch.focus()
    page.keyboard.press("Space")
    expect(drawn).to_be_visible()
    expect(tag).to_have_text("deviation")
    page.keyboard.press("Space")
    expect(drawn).to_be_hidden()
    expect(tag).to_have_text("output")
    page.keyboard.press("Space")
    page.locator("#states button").nth(1).click()
    expect(drawn).to_be_hidden()
    expect(switch).not_to_be_checked()
    expect(tag).to_have_text(STATES[1])
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the map").click()
    assert download.value.suggested_filename == "rain-uncertainty.png"
    grey = np.asarray(Image.open(download.value.path()))
    assert (grey[:30] == 64).all()
    assert (grey[30:] == 128).all()
    page.get_by_label("Random samples").fill("")
    page.get_by_role("button", name="Restore again").click()
    expect(page.locator("#sure")).to_be_hidden()


@slow
def test_equal_samples_are_said_to_be_and_have_no_map(opened: Opened, fake: Fake) -> None:
    page = opened()
    fake.deviation = 0.0
    page.get_by_role("button", name="rain").click()
    result_of(page, "rain.png")
    _sampled(page, 4)
    expect(page.locator("#sure-words")).to_contain_text("All 4 samples are equal")
    expect(page.get_by_role("checkbox")).to_be_hidden()
    expect(page.locator("#sure-download")).to_be_hidden()


@slow
def test_a_large_picture_has_a_map_without_its_states(opened: Opened, fake: Fake) -> None:
    page = opened()
    blank = io.BytesIO()
    Image.new("RGB", (2000, 1001), "teal").save(blank, "PNG")
    page.get_by_text("Options").click()
    page.get_by_label("Random samples").fill("2")
    give(page, "large.png", blank.getvalue())
    result_of(page, "large.png")
    assert fake.asked == [("champion", Options(samples=2, scale=1))]
    expect(page.get_by_role("checkbox", name="Show where the samples differ")).to_be_visible()
    expect(page.locator("#states-note")).to_contain_text("up to 2 megapixels")


@slow
def test_a_problem_is_said_in_words_and_can_be_tried_again(opened: Opened, fake: Fake) -> None:
    page = opened()
    fake.problem = BusyError(3)
    page.get_by_role("button", name="rain").click()
    told = page.get_by_role("alert")
    expect(told).to_contain_text(
        "The service is busy: as many requests wait as may; come back in 3 s"
    )
    expect(told).to_contain_text("503 Service Unavailable, request")
    expect(page.locator("#result")).to_be_hidden()
    fake.problem = None
    page.get_by_role("button", name="Try again").click()
    result_of(page, "rain.png")
    expect(told).to_be_hidden()


@slow
def test_a_file_that_is_no_picture_or_too_large(opened: Opened, fake: Fake) -> None:
    page = opened()
    give(page, "broken.png", b"no picture")
    expect(page.get_by_role("alert")).to_contain_text("The service refuses:")
    give(page, "large.png", bytes(1024**2 + 1))
    expect(page.get_by_role("alert")).to_contain_text("The service takes up to 1 MB.")
    assert not fake.asked
    page.evaluate(
        "document.dispatchEvent(new ClipboardEvent('paste', {bubbles: true, "
        "clipboardData: new DataTransfer()}))"
    )
    expect(page.get_by_role("alert")).to_contain_text("That is no file.")


@slow
def test_the_later_picture_wins_and_waiting_can_be_cancelled(
    opened: Opened, fake: Fake, samples: dict[str, Path]
) -> None:
    page = opened(reduced_motion="reduce")
    late = np.asarray(Image.open(samples["dark_street.png"]))
    fake.seconds = lambda pixels: 1.0 if np.array_equal(pixels, late) else 0.0
    page.get_by_role("button", name="dark street").click()
    expect(page.locator("#waiting")).to_contain_text("Restoring dark_street.png")
    assert page.evaluate("document.getAnimations().length") == 0
    page.get_by_role("button", name="rain").click()
    result_of(page, "rain.png")
    page.wait_for_timeout(1200)
    result_of(page, "rain.png")
    page.get_by_role("button", name="dark street").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#waiting")).to_be_hidden()
    page.wait_for_timeout(1200)
    result_of(page, "rain.png")
    expect(page.get_by_role("alert")).to_be_hidden()


@slow
@pytest.mark.parametrize("fake", ["right"], indirect=True)
@pytest.mark.usefixtures("fake")
def test_a_key_is_asked_for_and_kept_in_this_tab(opened: Opened) -> None:
    page = opened()
    field = page.get_by_label("This service wants an API key")
    field.fill("wrong")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    field.fill("right")
    field.press("Enter")
    expect(field).to_be_hidden()
    expect(page.get_by_role("alert")).to_be_hidden()
    page.reload()
    page.get_by_role("button", name="rain").click()
    result_of(page, "rain.png")
    expect(field).to_be_hidden()
    assert page.evaluate("localStorage.length") == 0


@slow
def test_the_metrics_of_the_chosen_model(opened: Opened) -> None:
    page = opened()
    row = page.locator("#metrics tbody tr")
    expect(row.locator("th")).to_have_text("low light")
    cells = ["12", "+8.64 [8.10, 9.05]", "9.70 → 18.34, reference 16.50"]
    cells += ["0.4000 → 0.7100", "7.00 → 5.50"]
    expect(row.locator("td")).to_have_text(cells)
    expect(page.locator("#about-what")).to_contain_text("every gate is met")
    page.get_by_role("combobox", name="Model").select_option("candidate")
    expect(page.locator("#metrics-note")).to_have_text(
        "This version was published without metrics."
    )
    expect(page.locator("#about-problem")).to_contain_text("its weights are damaged")


@slow
def test_a_model_that_was_swapped_meanwhile(opened: Opened, fake: Fake) -> None:
    page = opened()
    expect(page.locator("#about-what")).to_contain_text("a1b2c3d4e5f6")
    fake.versions = {**fake.versions, "champion": "123456abcdef"}
    page.get_by_role("button", name="rain").click()
    result_of(page, "rain.png")
    expect(page.locator("#about-what")).to_contain_text("123456abcdef")


CONTRASTS = """() => {
  const channel = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = element => {
    for (; element; element = element.parentElement) {
      const colour = numbers(getComputedStyle(element).backgroundColor);
      if (colour.length === 3) return colour;
    }
    return [255, 255, 255];
  };
  const texts = [...document.querySelectorAll("body *")].filter(e => e.checkVisibility()
    && !e.disabled && !e.closest(".compare, noscript")
    && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
  return texts.map(e => {
    const [a, b] = [numbers(getComputedStyle(e).color), ground(e)].map(luminance);
    return [e.textContent, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
  });
}"""
UNNAMED = """() => [...document.querySelectorAll("button, input, select, a, img")]
  .filter(e => e.checkVisibility() && !(e.tagName === "IMG" ? e.hasAttribute("alt")
    : e.textContent.trim() || e.ariaLabel || e.labels?.length)).map(e => e.outerHTML)"""


@slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_on_a_phone_and_in_the_dark(opened: Opened, fake: Fake, scheme: str) -> None:
    """Text has WCAG's contrast of 4.5 in both schemes; nothing is wider than the screen."""
    page = opened(viewport={"width": 360, "height": 740}, color_scheme=scheme, has_touch=True)
    page.get_by_text("Options").click()
    page.get_by_label("Random samples").fill("2")
    for name in ("dark street", "rain"):
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.get_by_role("button", name=name).tap()
        result_of(page, f"{name.replace(' ', '_')}.png")
    fake.problem = UserError("y" * 90)
    page.get_by_role("button", name="Restore again").tap()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_text("Options").tap()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 30
    assert not [(text, round(ratio, 2)) for text, ratio in contrasts if ratio < 4.5]
    assert page.evaluate(UNNAMED) == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", ground)[0]) < 128) == (scheme == "dark")
