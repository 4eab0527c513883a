"""Sheets of pictures: cells in their places, names in their margin, pictures that cover their cells."""

import numpy as np
import pytest

from drdd.drawing.sheets import CAPTION, CELL, GAP, HEADING, LABEL, cover, sheet


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
