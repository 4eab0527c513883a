"""What follows from a task's settings: the grey of its holes, its inputs, its reference."""

from typing import Any

import pytest

from drdd.params import Task


def _task(*degradation: dict[str, Any], **more: Any) -> Task:
    content = {"corpora": ["nature"], "degradation": list(degradation), **more}
    return Task.model_validate(content)


HALF = {"kind": "box_mask", "fill": [0.5, 0.5]}


@pytest.mark.parametrize(
    ("degradation", "fill"),
    [
        ([HALF], 0.5),
        ([{"kind": "brush_mask", "fill": [0.0, 0.0]}], 0.0),
        ([{"kind": "gaussian_noise"}, HALF], 0.5),
        ([HALF, {"kind": "border_mask", "fill": [0.5, 0.5]}], 0.5),
        ([HALF, {"kind": "border_mask", "fill": [1.0, 1.0]}], None),
        ([{"kind": "box_mask", "fill": [0.2, 0.8]}], None),
        ([{"kind": "gaussian_noise"}], None),
    ],
)
def test_the_fill_is_the_one_grey_of_holes(
    degradation: list[dict[str, Any]], fill: float | None
) -> None:
    assert _task(*degradation).fill() == fill


def test_a_task_that_enlarges_fills_no_holes() -> None:
    """Bicubic edges of a hole are of many greys."""
    assert _task(HALF, scale=2).fill() is None


def test_pairs_that_are_brought_have_no_fill() -> None:
    assert Task.model_validate({"paired": ["album"]}).fill() is None


def test_without_a_degradation_there_is_one_input_of_a_picture() -> None:
    assert _task(scale=2, variants=4).inputs() == 1
    assert _task(HALF, scale=2, variants=4).inputs() == 4


@pytest.mark.parametrize(
    ("task", "name"),
    [
        (_task(scale=2), "fine_unsharp_mask"),
        (_task({"kind": "grey"}, scale=2), "fine_unsharp_mask"),
        (_task({"kind": "gaussian_noise"}, scale=2), None),  # two have one: it must be named
        (
            _task({"kind": "gaussian_noise"}, scale=2, reference="fine_unsharp_mask"),
            "fine_unsharp_mask",
        ),
        (_task(scale=2, reference="none"), None),
    ],
)
def test_the_reference_of_a_task_that_enlarges(task: Task, name: str | None) -> None:
    assert task.reference_name() == name
