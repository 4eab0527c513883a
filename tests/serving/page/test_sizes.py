"""The page in a real browser, for larger outputs: another size out, and jobs for what takes long."""

import io
import threading

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from drdd.errors import UserError
from drdd.inference.options import Options
from drdd.pictures.scaling import enlarged
from tests.inference.blurring import STATES, Fake, blur, noise_png
from tests.serving.page.by_hand import Opened, give, result_of

pytestmark = pytest.mark.slow
PLAIN = io.BytesIO()
Image.new("RGB", (3000, 2100), "teal").save(PLAIN, "PNG")


def _size(page: Page, selector: str) -> tuple[int, int]:
    found: list[int] = page.locator(selector).evaluate("i => [i.naturalWidth, i.naturalHeight]")
    return found[0], found[1]


def _late_result_of(page: Page, name: str) -> None:
    """Of millions of pixels."""
    expect(page.locator("#result-name")).to_have_text(name, timeout=60_000)
    result_of(page, name)


def test_the_size_is_chosen_and_compared_at_the_outputs_size(opened: Opened, fake: Fake) -> None:
    fake.scales = (1, 2)
    page = opened()
    choice = page.get_by_label("Output size")
    expect(choice).to_have_value("1")
    expect(choice.locator("option")).to_have_text(["as it is", "2 times larger"])
    picture = noise_png((90, 60), 5)
    give(page, "a.png", picture)
    result_of(page, "a.png")
    assert fake.asked[-1] == ("champion", Options(states=True, scale=1))
    expect(page.locator("#brush")).to_be_visible()
    expect(page.locator("#before-tag")).to_have_text("input")
    choice.select_option("2 times larger")
    expect(page.locator("#brush")).to_be_hidden()
    expect(page.locator("#brush-off")).to_contain_text("The brush is off")
    with page.expect_response("**/v1/restore*"):
        page.get_by_role("button", name="Restore again").click()
    expect(page.locator("#numbers")).to_contain_text("90 \u00d7 60 \u2192 180 \u00d7 120")
    assert fake.asked[-1] == ("champion", Options(states=True, scale=2))
    expect(page.locator("#before-tag")).to_have_text("input, enlarged")
    assert (_size(page, "#before"), _size(page, "#after")) == ((90, 60), (180, 120))
    boxes = [page.locator(one).bounding_box() for one in ("#before", "#after")]
    assert boxes[0] == boxes[1]
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the output").click()
    expected = blur(enlarged(np.asarray(Image.open(io.BytesIO(picture))), 2), len(STATES) - 1)
    assert np.array_equal(np.asarray(Image.open(download.value.path())), expected)
    page.get_by_role("combobox", name="Model").select_option("candidate")
    expect(choice).to_be_hidden()
    expect(page.locator("#brush")).to_be_visible()


def test_a_model_that_only_enlarges_says_so(opened: Opened, fake: Fake) -> None:
    fake.scales = (4,)
    page = opened(viewport={"width": 360, "height": 740}, has_touch=True)
    choice = page.get_by_label("Output size")
    expect(choice).to_be_disabled()
    expect(choice.locator("option")).to_have_text(["4 times larger"])
    give(page, "a.png", noise_png((90, 60)))
    result_of(page, "a.png")
    assert _size(page, "#after") == (360, 240)
    expect(page.locator("#brush-off")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_what_takes_long_is_a_job_that_outlives_the_page(opened: Opened, fake: Fake) -> None:
    """A picture that is small itself, and large once enlarged."""
    fake.scales = (4,)
    page = opened()
    small = io.BytesIO()
    Image.new("RGB", (700, 600), "teal").save(small, "PNG")
    hold = threading.Event()
    fake.seconds = lambda pixels: 0.0 if hold.is_set() else 3.0
    with page.expect_response(lambda answer: answer.request.method == "POST") as sent:
        give(page, "large.png", small.getvalue())
    assert sent.value.status == 202
    expect(page.locator("#waiting")).to_contain_text("Restoring large.png: 0 %")
    expect(page.get_by_role("progressbar")).to_be_visible()
    page.reload()
    expect(page.locator("#waiting")).to_contain_text("Restoring large.png")
    _late_result_of(page, "large.png")
    assert fake.asked == [("a1b2c3d4e5f6", Options(scale=4))], "it was restored once"
    assert _size(page, "#after") == (2800, 2400)
    assert _size(page, "#before") == (700, 600)
    expect(page.locator("#before-tag")).to_have_text("a small copy of the input")
    expect(page.get_by_role("button", name="Restore again")).to_be_disabled()
    expect(page.locator("#brush")).to_be_hidden()
    page.reload()
    _late_result_of(page, "large.png")
    job = page.evaluate("JSON.parse(sessionStorage.getItem('drdd-job')).id")
    hold.set()
    give(page, "a.png", noise_png())
    result_of(page, "a.png")
    assert page.evaluate("sessionStorage.getItem('drdd-job')") is None
    status = "id => fetch('v1/jobs/' + id + '/result').then(a => a.status)"
    assert page.evaluate(status, job) == 410, "a result that is no longer shown takes no room"


def test_a_job_is_cancelled_by_the_page(opened: Opened, fake: Fake) -> None:
    page = opened()
    fake.seconds = lambda pixels: 2.0
    give(page, "large.png", PLAIN.getvalue())
    expect(page.get_by_role("progressbar")).to_be_visible()
    job = page.evaluate("JSON.parse(sessionStorage.getItem('drdd-job')).id")
    with page.expect_response(lambda answer: answer.request.method == "DELETE") as deleted:
        page.get_by_role("button", name="Cancel").click()
    assert deleted.value.json()["status"] == "cancelled"
    assert job in deleted.value.url
    expect(page.locator("#waiting")).to_be_hidden()
    page.reload()
    expect(page.locator("#samples button")).to_have_count(2)
    expect(page.locator("#waiting")).to_be_hidden()
    expect(page.locator("#result")).to_be_hidden()


def test_a_job_that_is_cancelled_while_it_is_sent_is_cancelled(opened: Opened, fake: Fake) -> None:
    page = opened()
    fake.seconds = lambda pixels: 2.0
    page.evaluate("""() => {
      const sent = window.fetch;
      window.fetch = async (path, init) => {
        const answer = await sent(path, init);
        if (init?.method === "POST") document.getElementById("cancel").click();
        return answer;
      };
    }""")
    with page.expect_response(lambda answer: answer.request.method == "DELETE") as deleted:
        give(page, "large.png", PLAIN.getvalue())
    assert deleted.value.json()["status"] == "cancelled"
    expect(page.locator("#waiting")).to_be_hidden()
    assert page.evaluate("sessionStorage.getItem('drdd-job')") is None


def test_the_failure_of_a_job_is_said(opened: Opened, fake: Fake) -> None:
    page = opened()
    fake.problem = UserError("this model has no noise part")
    give(page, "large.png", PLAIN.getvalue())
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The service refuses: this model has no noise part")
    fake.problem = None
    page.get_by_role("button", name="Try again").click()
    _late_result_of(page, "large.png")
    expect(alert).to_be_hidden()


def test_a_job_that_is_gone_is_said_unless_it_was_seen(opened: Opened, fake: Fake) -> None:
    page = opened()
    for shown in (False, True):
        job = {"id": "0-0", "name": "a.png", "begun": 0, "preview": None, "shown": shown}
        page.evaluate("job => sessionStorage.setItem('drdd-job', JSON.stringify(job))", job)
        page.reload()
        expect(page.locator("#waiting")).to_be_hidden()
        expect(page.get_by_role("alert")).to_be_visible(visible=not shown)
        page.wait_for_function("sessionStorage.getItem('drdd-job') === null")
