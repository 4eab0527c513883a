"""Pictures by the champion and by the candidate, as the report reads them."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from drdd.evaluation.side_by_side import Comparison, read_comparison, write_comparison
from drdd.evaluation.trajectories import SIDE
from tests.report.findings import side_by_side

FOLDER = Path("comparison")


def test_the_worst_loss_is_read_back_first(workspace: Path) -> None:
    changes = {"a": 0.5, "b": -2.0, "c": -0.25}
    pictures = tuple(side_by_side("haze", image, change) for image, change in changes.items())
    write_comparison(FOLDER, Comparison("0c4a3f", ("rain: none",), pictures))
    found = read_comparison(FOLDER)
    assert (found.champion, found.notes) == ("0c4a3f", ("rain: none",))
    assert [(one.image, round(one.change, 2)) for one in found.pictures] == [
        ("b", -2.0),
        ("c", -0.25),
        ("a", 0.5),
    ]
    before, after = side_by_side("haze", "b"), found.pictures[0]
    for name in ("input", "champion", "candidate", "target", "reference"):
        then, now = getattr(before, name), getattr(after, name)
        assert now.shape == (183, SIDE, 3)
        assert abs(float(now.mean()) - float(then.mean())) < 2, name


def test_a_task_without_a_reference_has_none_beside_one_that_has(workspace: Path) -> None:
    pictures = (side_by_side("haze", "a"), side_by_side("low_light", "b"))
    write_comparison(FOLDER, Comparison("0c4a3f", (), pictures))
    found = {one.task: one for one in read_comparison(FOLDER).pictures}
    assert found["low_light"].reference is None
    assert found["haze"].reference is not None
    alone = replace(pictures[1], reference=None)
    write_comparison(FOLDER, Comparison("0c4a3f", (), (alone,)))
    assert read_comparison(FOLDER).pictures[0].reference is None


def test_without_a_champion_there_is_nothing(workspace: Path) -> None:
    write_comparison(FOLDER, Comparison(None))
    assert read_comparison(FOLDER) == Comparison(None)


def test_the_same_pictures_give_the_same_bytes(workspace: Path) -> None:
    comparison = Comparison("0c4a3f", (), (side_by_side("haze", "a"), side_by_side("haze", "b")))
    write_comparison(FOLDER, comparison)
    before = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    write_comparison(FOLDER, replace(comparison, pictures=comparison.pictures[::-1]))
    assert {path.name: path.read_bytes() for path in FOLDER.iterdir()} == before
    assert np.asarray(read_comparison(FOLDER).pictures[0].champion).dtype == np.uint8
