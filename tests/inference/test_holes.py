"""A hole is filled by the smooth surface through what is around it."""

import numpy as np
import pytest
import torch
from skimage import data
from skimage.restoration import inpaint_biharmonic
from torch import Tensor

from drdd.inference.holes import filled_smoothly


def _box(height: int, width: int, top: int, left: int, side: int) -> Tensor:
    hole = torch.zeros(height, width, dtype=torch.bool)
    hole[top : top + side, left : left + side] = True
    return hole


@pytest.mark.parametrize("size", [(40, 50), (41, 51), (64, 64), (33, 90)])
@pytest.mark.parametrize("side", [1, 3, 17])
def test_a_plane_is_its_own_smooth_surface(size: tuple[int, int], side: int) -> None:
    rows, columns = (torch.arange(float(n)) for n in size)
    plane = (0.01 * rows[:, None] - 0.02 * columns + 0.3)[None]
    hole = _box(*size, 9, 11, side)
    filled = filled_smoothly(torch.where(hole, 9.0, plane), hole)
    assert torch.equal(filled[:, ~hole], plane[:, ~hole])
    assert float((filled - plane).abs().max()) < 0.01


def test_values_stay_within_those_around_and_holes_at_a_border_are_filled() -> None:
    x = torch.rand(3, 45, 37, generator=torch.Generator().manual_seed(0))
    hole = torch.zeros(45, 37, dtype=torch.bool)
    hole[:20] = hole[:, 30:] = True
    filled = filled_smoothly(torch.where(hole, 5.0, x), hole)
    low, high = (f(x[:, ~hole], dim=1).values for f in (torch.min, torch.max))
    assert bool((filled.flatten(1) >= low[:, None]).all())
    assert bool((filled.flatten(1) <= high[:, None]).all())


@pytest.mark.parametrize("whole", [True, False])
def test_all_and_nothing(whole: bool) -> None:
    x = torch.rand(3, 8, 9)
    filled = filled_smoothly(x, torch.full((8, 9), whole))
    assert torch.equal(filled, torch.zeros_like(x) if whole else x)


def test_a_scratched_photograph_is_filled_nearly_as_well_as_by_a_biharmonic_surface() -> None:
    photograph = data.chelsea()[60:188, 100:260] / 255
    hole = np.zeros(photograph.shape[:2], bool)
    for first in (20, 60, 100):
        hole[first : first + 3] = hole[:, first : first + 3] = True
    x = torch.from_numpy(np.where(hole[..., None], 0, photograph)).permute(2, 0, 1).float()
    ours = filled_smoothly(x, torch.from_numpy(hole)).permute(1, 2, 0).numpy()
    theirs = inpaint_biharmonic(photograph, hole, channel_axis=-1)
    errors = [np.square(filled - photograph)[hole].mean() for filled in (ours, theirs)]
    assert errors[0] < 1.6 * errors[1]
    assert errors[0] < 0.05 * np.square(photograph - 0.5)[hole].mean()
