"""What the report and the service show of held-out pictures."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from drdd.evaluation.trajectories import (
    FIRST,
    SIDE,
    WORST,
    Trajectory,
    read_samples,
    read_trajectories,
    write_trajectories,
)

FILE = Path("trajectories.parquet")


def _trajectory(task: str, shade: int, kind: str = FIRST, side: int = 16) -> Trajectory:
    """All of whose pictures are of one grey, by which they are known again."""
    states = (("de-residual 1", _flat(shade + 10, side)),)
    return Trajectory(
        task=task,
        image=f"nature/{shade}",
        kind=kind,
        input=_flat(shade, side),
        output=_flat(shade + 20, side),
        target=_flat(shade + 30, side),
        states=states,
        input_psnr=20.0,
        output_psnr=25.5,
        reference=_flat(shade + 5, side) if task == "haze" else None,
        reference_psnr=23.25 if task == "haze" else None,
    )


def _flat(shade: int, side: int) -> np.ndarray:
    return np.full((side, side, 3), shade, np.uint8)


def test_trajectories_are_read_back_by_task_in_their_order(workspace: Path) -> None:
    write_trajectories(
        FILE,
        [
            _trajectory("rain", 40),
            _trajectory("haze", 80, side=700),
            _trajectory("rain", 120, WORST),
        ],
    )
    found = read_trajectories(FILE)
    assert list(found) == ["haze", "rain"]
    assert [(one.kind, one.image) for one in found["rain"]] == [
        (FIRST, "nature/40"),
        (WORST, "nature/120"),
    ]
    (haze,) = found["haze"]
    assert (haze.input_psnr, haze.output_psnr) == (20.0, 25.5)
    assert haze.reference_psnr == 23.25
    assert haze.reference is not None
    assert round(float(haze.reference.mean())) == 85
    assert [(one.reference, one.reference_psnr) for one in found["rain"]] == [(None, None)] * 2
    assert [name for name, _ in haze.states] == ["de-residual 1"]
    pictures = (haze.input, haze.states[0][1], haze.output, haze.target)
    assert [picture.shape[0] for picture in pictures] == [SIDE] * 4
    assert [round(float(picture.mean())) for picture in pictures] == [80, 90, 100, 110]


def test_samples_are_inputs_of_every_task_and_of_different_pictures(workspace: Path) -> None:
    shades = (40, 80, 120)
    trajectories = [
        _trajectory(task, shade) for task in ("haze", "noise", "rain") for shade in shades
    ]
    write_trajectories(
        FILE, [*trajectories, _trajectory("snow", 160), _trajectory("rain", 200, WORST)]
    )
    found = {
        task: round(float(np.asarray(Image.open(io.BytesIO(content))).mean()))
        for task, content in read_samples(FILE).items()
    }
    assert found == {"haze": 40, "noise": 80, "rain": 120, "snow": 160}


def test_the_sample_of_a_task_that_enlarges_is_the_small_picture(workspace: Path) -> None:
    """Not the enlarged one, which would be enlarged again."""
    for reference in (None, _flat(60, 32)):
        one = replace(_trajectory("sr2", 80, side=32), small=_flat(81, 16), reference=reference)
        if reference is not None:
            one = replace(one, reference_psnr=21.0)
        write_trajectories(FILE, [one, _trajectory("rain", 40)])
        with Image.open(io.BytesIO(read_samples(FILE)["sr2"])) as sample:
            assert sample.size == (16, 16)
        (found,) = read_trajectories(FILE)["sr2"]
        assert found.small is not None
        assert found.small.shape == (16, 16, 3)
        assert found.input.shape == (32, 32, 3)
        assert [name for name, _ in found.states] == ["de-residual 1"]
        assert (found.reference is None) == (reference is None)
