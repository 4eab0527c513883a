"""Dead leaves are a function of (seed, number) and have the statistics of photographs."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from skimage import data

from drdd.pictures.pixels import Pixels
from drdd.synthetic import dead_leaves as drawing
from drdd.synthetic.dead_leaves import dead_leaves

LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture(scope="module")
def drawn() -> list[Pixels]:
    return [dead_leaves(0, number, 256, 256) for number in range(16)]


@pytest.fixture(scope="module")
def photographs() -> list[Pixels]:
    return [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]


def test_a_picture_is_a_function_of_seed_number_and_size() -> None:
    first = dead_leaves(3, 7, 64, 80)
    np.random.seed(1)
    assert np.array_equal(first, dead_leaves(3, 7, 64, 80))
    for seed, number in ((3, 8), (4, 7)):
        assert not np.array_equal(first, dead_leaves(seed, number, 64, 80))


@pytest.mark.parametrize("size", [(16, 16), (16, 90), (65, 17)])
def test_pictures_have_any_size(size: tuple[int, int]) -> None:
    pixels = dead_leaves(0, 0, *size)
    assert pixels.shape == (*size, 3)
    assert pixels.dtype == np.uint8
    assert pixels.std() > 1


def _slope(pixels: Pixels) -> float:
    """Of the logarithm of power over that of frequency, from 0.02 to 0.25 a pixel, Hann's window."""
    side = min(pixels.shape[:2])
    luma = pixels[:side, :side] @ LUMA
    window = np.hanning(side)
    power = np.abs(np.fft.fft2((luma - luma.mean()) * np.outer(window, window))) ** 2
    axis = np.fft.fftfreq(side)
    frequency = np.hypot(axis[:, None], axis)
    edges = np.geomspace(0.02, 0.25, 12)
    rings = [(frequency >= low) & (frequency < high) for low, high in pairwise(edges)]
    means = np.log([power[ring].mean() for ring in rings])
    return float(np.polyfit(np.log(edges[1:] * edges[:-1]) / 2, means, 1)[0])


def test_power_falls_as_in_photographs(drawn: list[Pixels], photographs: list[Pixels]) -> None:
    """As f^-2, or a little faster: the lens blurs both."""
    slopes = [_slope(pixels) for pixels in drawn]
    assert -3 < np.mean(slopes) < -2
    assert all(-3.6 < slope < -1.7 for slope in slopes)
    assert np.mean(slopes) == pytest.approx(np.mean([_slope(p) for p in photographs]), abs=0.5)


def test_differences_of_neighbours_are_mostly_small_and_sometimes_large(
    drawn: list[Pixels], photographs: list[Pixels]
) -> None:
    """Flat leaves and sharp edges: the kurtosis of photographs, far above that of noise, 3."""

    def kurtosis(pixels: Pixels) -> float:
        return float(stats.kurtosis(np.diff(pixels @ LUMA, axis=1), axis=None, fisher=False))

    found = np.median([kurtosis(pixels) for pixels in drawn])
    usual = [kurtosis(pixels) for pixels in photographs]
    assert min(usual) / 2 < found < 2 * max(usual)


def test_light_and_colours_vary_as_in_photographs(drawn: list[Pixels]) -> None:
    """Channels go together; pictures are dark and bright; little is black or burnt out."""
    means = [float(pixels.mean()) for pixels in drawn]
    assert min(means) < 70 < 110 < max(means)
    assert all(pixels.std() > 8 for pixels in drawn)
    values = np.concatenate([pixels.reshape(-1, 3) for pixels in drawn]).astype(float)
    between = np.corrcoef(values.T)
    assert 0.6 < between.min() < 0.98
    assert ((values <= 0) | (values >= 255)).mean() < 0.05


def test_radii_have_the_power_law() -> None:
    """Density r^-3 between the least and the largest: P(R > r) is linear in r^-2."""
    leaves = drawing._leaves(np.random.default_rng(0), 1000, 1000)
    powers = leaves.radius.astype(float) ** -2
    span = powers.max() - powers.min()
    assert len(powers) > 300
    assert leaves.radius.max() > 4 * leaves.radius.min()
    assert stats.kstest((powers - powers.min()) / span, "uniform").pvalue > 1e-3


def test_leaves_hide_what_lies_below_them_and_nearly_all_of_the_ground() -> None:
    leaves = drawing._leaves(np.random.default_rng(1), 256, 256)
    shown = drawing._seen(leaves, 256, 256)
    assert shown.max() <= len(leaves.radius)
    assert (shown == 0).mean() < 0.25
    topmost = shown[shown > 0].mean() / len(leaves.radius)
    assert topmost > 0.6  # those that fell last are seen most
