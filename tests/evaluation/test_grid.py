"""The picture grid: a row a task, the same at every call."""

from dataclasses import replace

from drdd.evaluation.grid import grid
from tests.report.findings import trajectory


def test_the_grid_has_a_row_a_task_and_is_repeatable() -> None:
    rows = [trajectory("haze", "a"), trajectory("low_light", "b", size=(300, 500))]
    drawn = grid(rows)
    assert drawn.tobytes() == grid(rows).tobytes()
    colours = {colour for _, colour in drawn.getcolors(100_000) or []}
    assert {(v, v, v) for v in (50, 80, 150, 200)} <= colours  # 80: after the residual part
    assert grid(rows[:1]).height < drawn.height


def test_the_grid_of_a_method_without_a_residual_part_has_no_column_for_it() -> None:
    whole = trajectory("haze", "a")
    drawn = grid([replace(whole, states=whole.states[:1])])
    assert drawn.width < grid([whole]).width
