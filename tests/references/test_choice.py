"""Which reference a task has: by its degradation, by name, or none; what cannot be is refused."""

from typing import Any

import pytest

from drdd.errors import UserError
from drdd.params import Task, load, validate
from tests.conftest import ROOT
from tests.project import tiny_params

NOISE, RAIN, GREY = {"kind": "gaussian_noise"}, {"kind": "rain"}, {"kind": "grey"}


def _task(*steps: dict[str, str], **more: Any) -> Task:
    return Task.model_validate({"corpora": ["nature"], "degradation": list(steps), **more})


@pytest.mark.parametrize(
    ("steps", "asked", "expected"),
    [
        ([NOISE], None, "non_local_means"),
        ([GREY, RAIN], None, "opening"),  # the one step that has one
        ([GREY], None, None),
        ([NOISE, RAIN], None, None),  # neither would undo both
        ([NOISE, NOISE], None, None),
        ([NOISE, RAIN], "opening", "opening"),
        ([NOISE], "none", None),
    ],
)
def test_a_task_has_the_reference_of_its_degradation_or_the_one_that_it_names(
    steps: list[dict[str, str]], asked: str | None, expected: str | None
) -> None:
    assert _task(*steps, reference=asked).reference_name() == expected


def test_a_task_of_pairs_has_none_unless_it_names_one() -> None:
    assert Task(paired=["album"]).reference_name() is None
    assert Task(paired=["album"], reference="median").reference_name() == "median"


def test_the_tasks_of_the_project_have_theirs() -> None:
    tasks = load(ROOT / "params.yaml").tasks
    assert {name: task.reference_name() for name, task in tasks.items()} == {
        "noise": "non_local_means",
        "low_light": "percentile_stretch",
        "haze": "dark_channel",
        "rain": "opening",
    }


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            "opening",
            "tasks.noise: reference = 'opening' is for rain, not for gaussian_noise; name another, or none",
        ),
        ("opnening", "tasks.noise: reference = 'opnening': one of biharmonic, "),
    ],
)
def test_a_reference_that_cannot_be_is_refused_in_a_sentence(asked: str, said: str) -> None:
    content = tiny_params()
    content["tasks"]["noise"]["reference"] = asked
    with pytest.raises(UserError) as error:
        validate(content)
    (line,) = str(error.value).splitlines()[1:]
    assert line.strip().startswith(said)
