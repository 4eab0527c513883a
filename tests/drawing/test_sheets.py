"""Pictures for people: the grid, sheets, and what the report shows of a strip."""

import io
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from drdd.drawing.sheets import CAPTION, CELL, GAP, HEADING, LABEL, cover, grid, sheet
from drdd.report.figures import DETAIL, STATES, detail, shown
from drdd.report.findings import WORST
from tests.report.findings import strip


def test_the_grid_has_a_row_a_task_and_is_repeatable() -> None:
    strips = [strip("haze", "a"), strip("low_light", "b", size=(300, 500))]
    drawn = grid(strips)
    assert drawn.tobytes() == grid(strips).tobytes()
    colours = {colour for _, colour in drawn.getcolors(100_000) or []}
    assert {(v, v, v) for v in (50, 80, 150, 200)} <= colours  # 80: after the residual part
    assert grid(strips[:1]).height < drawn.height


def test_the_grid_of_a_method_without_a_residual_part_has_no_column_for_it() -> None:
    whole = strip("haze", "a")
    drawn = grid([replace(whole, states=whole.states[:1])])
    assert drawn.width < grid([whole]).width


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


def test_the_detail_is_where_the_output_is_furthest_from_the_target() -> None:
    target = np.full((60, 90, 3), 100, np.uint8)
    output = target.copy()
    output[41:44, 70:73] = 130
    output[5:9, 5:9] = 103
    left, top, right, bottom = detail(output, target, side=20)
    assert (right - left, bottom - top) == (20, 20)
    assert left <= 70
    assert right >= 73
    assert top <= 41
    assert bottom >= 44
    assert detail(output, target, side=100) == (0, 0, 90, 60)  # smaller than a detail: all of it


def test_a_strip_is_shown_from_the_input_to_the_target() -> None:
    one = strip("haze", "a", size=(200, 700))
    found = shown(one)
    assert (found.input.width, found.input.height) == (520, 149)
    assert shown(replace(one, kind=WORST)).input.width == 400
    names = [figure.name for figure in found.details]
    assert names == ["input", *(name for name, _ in one.states), "target"]
    assert [figure.part for figure in found.details] == [
        "",
        "",
        "residual",
        "residual",
        "residual",
        "noise",
        "",
    ]
    for figure, value in zip(found.details, (50, 60, 70, 80, 90, 100, 200), strict=True):
        image = Image.open(io.BytesIO(b64decode(figure.uri.partition(",")[2])))
        assert image.size == (DETAIL, DETAIL)
        assert abs(np.asarray(image).astype(int) - value).max() <= 2


@pytest.mark.parametrize("count", [1, STATES, STATES + 1, 41])
def test_of_many_states_the_first_and_the_last_are_always_shown(count: int) -> None:
    pixels = strip("haze", "a").input
    states = tuple((f"de-noise {number}", pixels) for number in range(1, count + 1))
    found = shown(replace(strip("haze", "a"), states=states))
    names = [figure.name for figure in found.details]
    assert names[1] == "de-noise 1"
    assert names[-2] == f"de-noise {count}"
    assert len(names) == len(set(names)) == min(count, STATES) + 2
    assert found.left_out == count - min(count, STATES)
