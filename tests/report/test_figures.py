"""What the report shows of a trajectory: whole pictures, and details from state to state."""

import io
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from drdd.evaluation.trajectories import WORST
from drdd.report.figures import DETAIL, STATES, detail, shown
from tests.report.findings import trajectory


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


def test_a_trajectory_is_shown_from_the_input_to_the_target() -> None:
    one = trajectory("haze", "a", size=(200, 700))
    found = shown(one)
    assert (found.input.width, found.input.height) == (520, 149)
    assert shown(replace(one, kind=WORST)).input.width == 400
    names = [figure.name for figure in found.details]
    assert names == ["input", *(name for name, _ in one.states), "reference", "target"]
    assert [figure.part for figure in found.details] == [
        "",
        "",
        "residual",
        "residual",
        "residual",
        "noise",
        "",
        "",
    ]
    for figure, value in zip(found.details, (50, 60, 70, 80, 90, 100, 100, 200), strict=True):
        image = Image.open(io.BytesIO(b64decode(figure.uri.partition(",")[2])))
        assert image.size == (DETAIL, DETAIL)
        assert abs(np.asarray(image).astype(int) - value).max() <= 2


@pytest.mark.parametrize("count", [1, STATES, STATES + 1, 41])
def test_of_many_states_the_first_and_the_last_are_always_shown(count: int) -> None:
    pixels = trajectory("haze", "a").input
    states = tuple((f"de-noise {number}", pixels) for number in range(1, count + 1))
    found = shown(replace(trajectory("haze", "a"), states=states))
    names = [figure.name for figure in found.details]
    assert names[1] == "de-noise 1"
    assert names[-3:] == [f"de-noise {count}", "reference", "target"]
    assert len(names) == len(set(names)) == min(count, STATES) + 3
    assert found.left_out == count - min(count, STATES)
