"""The picture grid: a row a task, the same at every call."""

from dataclasses import replace

from drdd.evaluation.grid import grid
from tests.report.findings import trajectory


def test_the_grid_has_a_row_a_task_and_is_repeatable() -> None:
    rows = [trajectory("haze", "a"), trajectory("low_light", "b", size=(300, 500))]
    drawn = grid(rows)
    assert drawn.tobytes() == grid(rows).tobytes()
    colours = {colour for _, colour in drawn.getcolors(100_000) or []}
    assert {(v, v, v) for v in (50, 80, 100, 150, 200)} <= colours  # 80: after the residual part
    assert grid(rows[:1]).height < drawn.height


def test_a_task_without_a_reference_has_an_empty_cell_and_one_column_less_alone() -> None:
    with_one, without = trajectory("haze", "a"), trajectory("low_light", "b")
    assert without.reference is None
    alone, both = grid([without]), grid([with_one, without])
    assert alone.width < both.width == grid([with_one]).width
    below = both.crop((0, both.height // 2, both.width, both.height))
    assert (100, 100, 100) not in {colour for _, colour in below.getcolors(100_000) or []}


def test_the_grid_of_a_method_without_a_residual_part_has_no_column_for_it() -> None:
    whole = trajectory("haze", "a")
    drawn = grid([replace(whole, states=whole.states[:1])])
    assert drawn.width < grid([whole]).width
