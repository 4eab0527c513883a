"""The contact sheet: every tile whole, in order, with its label."""

import numpy as np
import pytest

from drdd.drawing.contact import LINE, TILE, contact_sheet
from drdd.drawing.sheets import GAP


def _plain(value: int, height: int = TILE[1], width: int = TILE[0]) -> np.ndarray:
    return np.full((height, width, 3), value, dtype=np.uint8)


def _tile(sheet: np.ndarray, row: int, column: int) -> np.ndarray:
    top, left = GAP + row * (TILE[1] + LINE + GAP), GAP + column * (TILE[0] + GAP)
    return sheet[top : top + TILE[1], left : left + TILE[0]]


def test_tiles_stand_in_rows_in_the_given_order() -> None:
    tiles = [(_plain(20 * i), f"tile {i}") for i in range(7)]
    sheet = np.asarray(contact_sheet(tiles, columns=3))
    for position, (pixels, _) in enumerate(tiles):
        assert np.array_equal(_tile(sheet, *divmod(position, 3)), pixels)
    assert (_tile(sheet, 2, 1) == 255).all()
    assert np.array_equal(sheet, np.asarray(contact_sheet(tiles, columns=3)))


@pytest.mark.parametrize(
    ("size", "shown"),
    [((2 * TILE[1], TILE[0]), (180, 120)), ((90, 480), (45, 240)), ((10, 12), (10, 12))],
)
def test_a_picture_is_whole_and_never_enlarged(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    sheet = np.asarray(contact_sheet([(_plain(0, *size), "")]))
    inked = (_tile(sheet, 0, 0) == 0).all(2)
    assert (inked.any(1).sum(), inked.any(0).sum()) == shown
    assert inked.sum() == shown[0] * shown[1]


def test_a_label_stays_below_its_own_tile() -> None:
    tiles = [(_plain(255), "an extremely long file name " * 5), (_plain(255), "")]
    sheet = np.asarray(contact_sheet(tiles))
    assert (sheet[:, : GAP + TILE[0]] < 100).any()
    assert (sheet[:, GAP + TILE[0] + GAP // 2 :] == 255).all()


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_sheet_is_no_wider_than_its_tiles(count: int) -> None:
    sheet = contact_sheet([(_plain(0), "")] * count, columns=6)
    assert sheet.width == GAP + max(1, count) * (TILE[0] + GAP)
