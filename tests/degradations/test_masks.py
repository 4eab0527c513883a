"""Holes by their areas and shapes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from drdd.degradations import masks
from drdd.diffusion.keyed import keyed_generator
from tests.degradations.pictures import noise

HEIGHT, WIDTH = 90, 120


def _hole(degraded: Tensor, x: Tensor, fill: float) -> Tensor:
    """(B, H, W); what is not hidden must be the picture itself."""
    hole = (degraded == fill).all(1)
    assert torch.equal(torch.where(hole[:, None], x, degraded), x)
    return hole


def _boxes(area: float, seed: int, batch: int = 1) -> Tensor:
    x = noise(batch, HEIGHT, WIDTH)
    filled = masks.box_mask(x, keyed_generator(seed), area=(area, area), fill=(0, 0))
    return _hole(filled, x, 0)


@settings(max_examples=40, deadline=None)
@given(area=st.floats(0.02, 1), seed=st.integers(0, 1000))
def test_a_box_is_full_and_has_its_area(area: float, seed: int) -> None:
    (hole,) = _boxes(area, seed)
    rows, columns = hole.any(1), hole.any(0)
    assert torch.equal(hole, rows[:, None] & columns[None])
    assert float(hole.float().mean()) == pytest.approx(area, rel=0.06, abs=0.01)


def test_boxes_lie_anywhere_in_many_shapes() -> None:
    holes = _boxes(0.1, 0, batch=300)
    assert bool(holes.any(2).any(0).all())
    assert bool(holes.any(1).any(0).all())
    ratios = (holes.any(2).sum(1) / HEIGHT) / (holes.any(1).sum(1) / WIDTH)
    assert 0.23 < float(ratios.min()) < 0.4
    assert 2.5 < float(ratios.max()) < 4.4


@settings(max_examples=20, deadline=None)
@given(area=st.floats(0.05, 0.95), seed=st.integers(0, 1000))
def test_a_border_leaves_one_box_of_the_pictures_shape(area: float, seed: int) -> None:
    x = noise(1, HEIGHT, WIDTH)
    filled = masks.border_mask(x, keyed_generator(seed), area=(area, area), fill=(1, 1))
    kept = ~_hole(filled, x, 1)[0]
    rows, columns = kept.any(1), kept.any(0)
    assert torch.equal(kept, rows[:, None] & columns[None])
    assert float(rows.float().mean()) == pytest.approx((1 - area) ** 0.5, abs=0.006)
    assert float(columns.float().mean()) == pytest.approx((1 - area) ** 0.5, abs=0.005)


@pytest.mark.parametrize("area", [0.05, 0.2, 0.6])
@pytest.mark.parametrize("strokes", [1, 5])
def test_brush_strokes_cover_their_area(area: float, strokes: int) -> None:
    x = noise(4, HEIGHT, WIDTH)
    filled = masks.brush_mask(
        x, keyed_generator(5), area=(area, area), strokes=strokes, fill=(0.5, 0.5)
    )
    holes = _hole(filled, x, 0.5)
    for hole in holes:
        assert float(hole.float().mean()) == pytest.approx(area, abs=0.002)
        assert ndimage.label(hole.numpy(), structure=[[1] * 3] * 3)[1] <= strokes
    assert not torch.equal(holes[0], holes[1])


def test_a_brush_stroke_is_all_within_its_radius_of_its_line() -> None:
    """One stroke of two points, by hand."""
    x = noise(1, 40, 60)
    line = torch.tensor([[[[10.0, 10.0], [10.0, 40.0]]]])
    distance = masks._distance(x, line)[0, 0]
    assert float(distance[10, 25]) == 0
    assert float(distance[17, 25]) == 7
    assert float(distance[13, 44]) == 5
    assert float(distance[10, 3]) == 7


def test_distances_are_those_to_the_nearest_of_many_points_of_the_lines() -> None:
    x = noise(2, 30, 40)
    lines = masks._strokes(x, keyed_generator(6), 3)
    lines[0, 0] = lines[0, 0, :1]  # a stroke that stays where it is
    along = torch.linspace(0, 1, 400)[:, None]
    points = (lines[:, :, :-1, None] + along * lines.diff(dim=2)[:, :, :, None]).flatten(1, 3)
    places = torch.cartesian_prod(torch.arange(30.0), torch.arange(40.0))
    nearest = torch.cdist(places, points).min(2).values.view(2, 1, 30, 40)
    torch.testing.assert_close(masks._distance(x, lines), nearest, atol=0.02, rtol=0)


def test_the_fill_is_drawn_for_each_image() -> None:
    x = noise(50, 16, 16)
    filled = masks.box_mask(x, keyed_generator(0), area=(1, 1), fill=(0.2, 0.7))
    greys = filled.flatten(1)
    assert torch.equal(greys.min(1).values, greys.max(1).values)
    assert 0.2 <= float(greys.min()) < 0.25
    assert 0.65 < float(greys.max()) <= 0.7
