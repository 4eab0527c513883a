"""Night skies are a function of (seed, number): dark, with points of light of a power law."""

import numpy as np
import pytest
from scipy import ndimage

from drdd.synthetic import night_sky as drawing
from drdd.synthetic.night_sky import night_sky


def test_a_picture_is_a_function_of_seed_number_and_size() -> None:
    first = night_sky(3, 7, 64, 80)
    np.random.seed(1)
    assert np.array_equal(first, night_sky(3, 7, 64, 80))
    for seed, number in ((3, 8), (4, 7)):
        assert not np.array_equal(first, night_sky(seed, number, 64, 80))


@pytest.mark.parametrize("size", [(16, 16), (16, 90), (65, 17)])
def test_pictures_have_any_size(size: tuple[int, int]) -> None:
    for number in range(8):
        pixels = night_sky(0, number, *size)
        assert pixels.shape == (*size, 3)
        assert pixels.dtype == np.uint8


def test_the_sky_is_dark_and_the_brightest_point_is_not() -> None:
    """So they differ from photographs with too little light, whose brightest point is dark as well."""
    drawn = [night_sky(0, number, 200, 200) for number in range(24)]
    medians = [float(np.median(pixels)) for pixels in drawn]
    assert np.median(medians) < 40
    assert max(medians) > 2 * np.median(medians)
    assert all(pixels.max() > 200 for pixels in drawn)


def test_fluxes_of_stars_have_the_power_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of stars above a flux falls as flux^-SLOPE; each is a disc of its lens."""
    monkeypatch.setattr(drawing, "DENSITY", (1e-3, 1e-3))
    monkeypatch.setattr(drawing, "BURNT", 1e9)
    rng = np.random.default_rng(0)
    stars = drawing._stars(rng, 2000, 2000, 1.0).mean(axis=2)
    tops = stars[(ndimage.maximum_filter(stars, 7) == stars) & (stars > stars.max() / 1e6)]
    low = np.quantile(tops, 0.5)
    slope = (tops > low).sum() / np.log(tops[tops > low] / low).sum()  # Hill's estimate
    assert slope == pytest.approx(drawing.SLOPE, rel=0.15)


def test_a_galaxy_at_the_edge_is_cut_off_there() -> None:
    for number in range(8):
        light = np.zeros((40, 30, 3), np.float32)
        rng = np.random.default_rng(number)
        for _ in range(40):
            drawing._add_galaxies(rng, light)
        assert np.isfinite(light).all()
        assert light.min() >= 0
