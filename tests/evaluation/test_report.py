"""The report holds every task and picture, needs nothing from outside, and escapes what it is told."""

import io
import re
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from drdd.evaluation.curves import loss_curve, ticks
from drdd.evaluation.metrics import METRICS
from drdd.evaluation.pictures import CAPTION, CELL, GAP, HEADING, LABEL, Example, cover, grid, sheet
from drdd.evaluation.report import Latency, Report, write_report
from drdd.evaluation.summary import Expected, summarise

HOSTILE = "<script>alert(1)</script>"
CURVE = pd.DataFrame({"images": range(160, 16001, 160), "loss": np.linspace(1, 0.1, 100)})


def _example(task: str, image: str, size: tuple[int, int] = (40, 700)) -> Example:
    def pixels(value: int) -> np.ndarray:
        return np.full((*size, 3), value, np.uint8)

    return Example(task, image, pixels(50), pixels(100), pixels(150), pixels(200), 10.0, 15.0, 20.0)


def _report() -> Report:
    images = ["nature/cat.png", f"sky/{HOSTILE}.png"]
    rows = [
        {"task": task, "corpus": "nature", "image": image}
        | {
            f"{p}_{m}": float(i)
            for i, p in enumerate(("input", "deresidual", "output"))
            for m in METRICS
        }
        for task in ("haze", "rain", "cats")
        for image in images
    ]
    scores = pd.DataFrame(rows)
    expected = {
        "haze": Expected(images, "", 1.0, 0.5),
        "rain": Expected(images, "", 99.0, 0.5),
        "cats": Expected(images, "", 9.0, 0.5, gated=False),
    }
    metrics = summarise(scores, expected, 0)
    examples = {task: [_example(task, image) for image in images] for task in expected}
    curves = {"noise stage": CURVE, "residual stage": CURVE}
    latency = Latency(0.5, 0.9, 1.25)
    return Report(
        metrics, scores, examples, curves, latency, {"git": "abc"}, f"seed: 0 # {HOSTILE}"
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, _report())
    return path.read_text()


def test_everything_is_in_it(page: str) -> None:
    for part in (
        "Haze",
        "Rain",
        "nature/cat.png",
        "a task misses its gate",
        "+2.00",
        "99.00",
        "not gated",
    ):
        assert part in page
    for column in ("input", "after de-residual", "output", "target"):
        assert page.count(f"<b>{column}</b>") == 6
    assert page.count("<svg") == 2


def test_nothing_comes_from_outside(page: str) -> None:
    sources = re.findall(r'(?:src|href|action|data)\s*=\s*"([^"]*)"', page)
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert "@import" not in page
    assert "url(" not in page


def test_pictures_are_whole_and_of_a_sane_size(page: str) -> None:
    for uri in set(re.findall(r'"data:image/jpeg;base64,([^"]*)"', page)):
        image = Image.open(io.BytesIO(b64decode(uri)))
        image.load()
        assert image.width == 520


def test_what_it_is_told_is_escaped(page: str) -> None:
    assert HOSTILE not in page
    assert page.count("<script>") == 1


def test_it_is_well_formed(page: str) -> None:
    open_tags: list[str] = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "img", "input", "line", "polyline"):
                open_tags.append(tag)

        def handle_startendtag(self, tag: str, attrs: object) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Checker().feed(page)
    assert open_tags == []


def test_a_curve_is_svg_that_goes_down() -> None:
    svg = ElementTree.fromstring(loss_curve(CURVE, "a & b"))
    lines = svg.findall("polyline")
    assert [line.get("class") for line in lines] == ["raw", "smooth"]
    ys = [float(point.split(",")[1]) for point in str(lines[0].get("points")).split()]
    assert ys == sorted(ys)  # SVG's y points down
    assert len(ys) == 100


@pytest.mark.parametrize("high", [0.003, 0.7, 1.0, 9.0, 16000.0])
def test_ticks_are_round_and_cover(high: float) -> None:
    found = ticks(high)
    assert found[0] == 0
    assert 3 <= len(found) <= 6
    assert high - (found[1] - found[0]) < found[-1] <= high * (1 + 1e-9)


def test_the_grid_has_a_row_a_task_and_is_repeatable() -> None:
    examples = [_example("haze", "a"), _example("low_light", "b", (300, 500))]
    sheet = grid(examples)
    assert sheet.tobytes() == grid(examples).tobytes()
    colours = {colour for _, colour in sheet.getcolors(100_000) or []}
    assert {(v, v, v) for v in (50, 100, 150, 200)} <= colours
    assert grid(examples[:1]).height < sheet.height


def test_a_sheet_has_the_cells_of_its_rows_in_their_places() -> None:
    def pixels(value: int) -> np.ndarray:
        return np.full((8, 8, 3), value, np.uint8)

    size = 40, 30
    rows = [
        ("a", [(pixels(10), "10 dB"), (pixels(20), "")]),
        ("b", [(pixels(30), ""), (pixels(40), "")]),
    ]
    drawn = np.asarray(sheet(("left", "right"), rows, size))
    step = size[0] + GAP, size[1] + CAPTION + GAP
    assert drawn.shape == (HEADING + 2 * step[1], LABEL + 2 * step[0], 3)
    for place, value in (((0, 0), 10), ((0, 1), 20), ((1, 0), 30), ((1, 1), 40)):
        top, left = HEADING + place[0] * step[1], LABEL + place[1] * step[0]
        assert (drawn[top : top + size[1], left : left + size[0]] == value).all()
    assert (drawn[:, LABEL + 2 * step[0] - GAP :] == 255).all()
    with pytest.raises(ValueError, match="shorter"):
        sheet(("left", "right"), [("a", [(pixels(10), "")])], size)


def test_the_name_of_a_row_stays_in_its_margin() -> None:
    for name in ("multi_noise_multi_domain", "superresolution_of_satellites", "haze"):
        drawn = np.asarray(sheet(("only",), [(name, [(np.zeros((9, 9, 3), np.uint8), "")])]))
        inked = drawn[HEADING:, :LABEL].min(axis=(0, 2)) < 200
        assert inked.any()
        assert not inked[[0, LABEL - 1]].any()


def test_a_picture_of_any_size_covers_its_cell() -> None:
    for size in ((1, 1), (301, 7), (40, 700), (221, 299)):
        image = cover(np.full((*size, 3), 77, np.uint8), CELL)
        assert image.size == CELL
        assert image.getcolors() == [(CELL[0] * CELL[1], (77, 77, 77))]


def test_a_failed_write_keeps_the_old_report(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    report = _report()
    broken = Report(**{**vars(report), "metrics": {"tasks": {}}})
    with pytest.raises(Exception, match=r"undefined|attribute"):
        write_report(path, broken)
    assert path.read_text() == "old"
