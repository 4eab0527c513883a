"""Blur against SciPy's filters and against integrals."""

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from drdd.degradations import blur, kernels
from drdd.diffusion.keyed import keyed_generator
from tests.degradations.pictures import flat, noise

RNG = keyed_generator


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.7, 6.0])
def test_gaussian_blur_is_scipys(sigma: float) -> None:
    x = noise()
    ours = blur.gaussian_blur(x, RNG(0), sigma=(sigma, sigma)).numpy()
    theirs = ndimage.gaussian_filter(
        x.double().numpy(), sigma, axes=(2, 3), mode="nearest", radius=int(np.ceil(4 * sigma))
    )
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


@pytest.mark.parametrize(("angle", "axis"), [(0, 3), (90, 2), (-90, 2)])
@pytest.mark.parametrize("length", [1, 5, 13])
def test_motion_along_an_axis_is_a_moving_mean(angle: float, axis: int, length: int) -> None:
    x = noise()
    ours = blur.motion_blur(x, RNG(0), length=(length, length), angle=(angle, angle)).numpy()
    theirs = ndimage.uniform_filter1d(x.double().numpy(), length, axis=axis, mode="nearest")
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_motion_turns_anticlockwise() -> None:
    """At 45 degrees a point becomes a line from the lower left to the upper right."""
    x = flat(0.0, 31, 31)
    x[..., 15, 15] = 1
    streak = blur.motion_blur(x, RNG(0), length=(11, 11), angle=(45, 45))[0, 0]
    assert float(streak[12, 18]) > 5 * float(streak[12, 12])
    assert float(streak[18, 12]) > 5 * float(streak[18, 18])


@pytest.mark.parametrize("radius", [1.0, 2.5, 4.0, 7.3])
def test_defocus_is_the_mean_over_a_disc(radius: float) -> None:
    """The independent kernel counts 15 x 15 points of each pixel that lie inside the disc."""
    x = noise()
    ours = blur.defocus_blur(x, RNG(0), radius=(radius, radius)).numpy()
    reach = int(np.ceil(radius + 0.5))
    points = (np.arange((2 * reach + 1) * 15) + 0.5) / 15 - reach - 0.5
    inside = (points[:, None] ** 2 + points[None] ** 2) <= radius**2
    weights = inside.reshape(2 * reach + 1, 15, 2 * reach + 1, 15).mean((1, 3))
    theirs = ndimage.convolve(
        x.double().numpy(), (weights / weights.sum())[None, None], mode="nearest"
    )
    np.testing.assert_allclose(ours, theirs, atol=0.02)
    assert np.abs(ours - theirs).mean() < 0.006


@settings(max_examples=30, deadline=None)
@given(
    value=st.floats(0, 1),
    size=st.floats(1, 12),
    angle=st.floats(-90, 90),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
)
def test_blur_leaves_a_flat_picture_flat(
    value: float, size: float, angle: float, height: int, width: int
) -> None:
    x = flat(value, height, width)
    for blurred in (
        blur.gaussian_blur(x, RNG(0), sigma=(size / 2, size)),
        blur.defocus_blur(x, RNG(0), radius=(size / 2, size)),
        blur.motion_blur(x, RNG(0), length=(1, size), angle=(angle, angle)),
    ):
        torch.testing.assert_close(blurred, x, atol=1e-5, rtol=0)


def test_a_kernels_reach_does_not_change_it() -> None:
    """A batch's kernels share one size: the image of the smallest blur must not notice."""
    x, size = noise(), torch.full((1, 1, 1, 1), 3.0)
    near, far = (kernels.convolved(x, kernels.disc(size, reach)) for reach in (4, 9))
    torch.testing.assert_close(near, far)
    near, far = (kernels.convolved(x, kernels.segment(size, size, reach)) for reach in (3, 9))
    torch.testing.assert_close(near, far)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    rows=st.integers(0, 9),
    columns=st.integers(0, 9),
    border=st.sampled_from(["replicate", "constant"]),
)
def test_transforms_give_what_a_direct_sum_gives(
    height: int, width: int, rows: int, columns: int, border: Literal["replicate", "constant"]
) -> None:
    x = noise(2, height, width)
    rng = torch.Generator().manual_seed(rows)
    weights = torch.rand(2, 1, 2 * rows + 1, 2 * columns + 1, generator=rng)
    ours = kernels.convolved(x, weights, border)
    mode: Literal["edge", "constant"] = "edge" if border == "replicate" else "constant"
    padded = np.pad(x.double().numpy(), ((0, 0), (0, 0), (rows, rows), (columns, columns)), mode)
    views = np.lib.stride_tricks.sliding_window_view(padded, weights.shape[-2:], axis=(2, 3))
    theirs = np.einsum("bchwkl,bkl->bchw", views, weights[:, 0].double().numpy())
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-6 * weights[0].numel())


@pytest.mark.parametrize(("least", "length"), [(1, 1), (7, 8), (521, 540), (536, 540), (791, 800)])
def test_transformed_lengths_have_small_factors(least: int, length: int) -> None:
    assert kernels._fast_length(least) == length


@pytest.mark.parametrize("size", [(3, 3), (5, 7)])  # summed directly, and transformed
def test_each_image_is_convolved_with_its_own_kernel(size: tuple[int, int]) -> None:
    x = noise(3)
    weights = torch.rand(3, 1, *size, generator=torch.Generator().manual_seed(0))
    together = kernels.convolved(x, weights)
    for index in range(3):
        alone = kernels.convolved(x[index : index + 1], weights[index : index + 1])[0]
        torch.testing.assert_close(together[index], alone)
        flipped = weights[index].flip(-1, -2).double().numpy()
        theirs = ndimage.convolve(x[index].double().numpy(), flipped, mode="nearest")
        np.testing.assert_allclose(together[index].numpy(), theirs, atol=1e-5)
