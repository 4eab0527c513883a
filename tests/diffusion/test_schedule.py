"""The schedule against a numpy derivation of the paper's formulas."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drdd.diffusion.schedule import Schedule


def test_levels_are_the_papers() -> None:
    schedule = Schedule.linear(0.15)
    abar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    a, b = 1 - np.sqrt(abar), np.sqrt(1 - abar)
    np.testing.assert_allclose(schedule.noise_level.numpy(), b, rtol=1e-5)
    np.testing.assert_allclose(schedule.residual_level.numpy(), a / a[-1], rtol=1e-5)
    assert a[-1] == pytest.approx(0.9936, abs=1e-4)  # what the normalisation mends
    assert schedule.a(999) == 1.0


def test_levels_before_the_first_step_are_zero() -> None:
    schedule = Schedule.linear(0.15)
    assert schedule.a(-1) == schedule.b(-1) == 0.0


@given(st.floats(0.02, 0.99))
def test_the_noise_stage_starts_at_the_level_nearest_to_the_one_asked_for(level: float) -> None:
    schedule = Schedule.linear(level)
    distance = np.abs(schedule.noise_level.numpy() - level)
    assert abs(schedule.fixed_noise - level) == pytest.approx(distance.min(), abs=1e-6)


def test_the_published_two_step_grid() -> None:
    assert Schedule.linear(1.0).residual_grid(2) == [999, 499, -1]


@given(st.integers(1, 60), st.floats(0.05, 1.0))
def test_grids_descend_from_their_start_to_level_zero(count: int, level: float) -> None:
    schedule = Schedule.linear(level)
    for grid, first in (
        (schedule.residual_grid(count), 999),
        (schedule.noise_grid(min(count, schedule.t_start + 1)), schedule.t_start),
    ):
        assert grid[0] == first
        assert grid[-1] == -1
        assert all(a > b for a, b in pairwise(grid))


def test_impossible_values_are_refused() -> None:
    with pytest.raises(ValueError, match="noise_level"):
        Schedule.linear(0.0)
    with pytest.raises(ValueError, match="do not fit"):
        Schedule.linear(1.0, steps=10).residual_grid(11)
