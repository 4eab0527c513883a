"""NIQE tells good photographs from spoilt ones; its parts hold what their formulas say."""

import numpy as np
import pytest
from scipy.stats import gennorm
from skimage import data

from drdd.metrics import niqe as module
from drdd.metrics.niqe import SIDE, niqe


def test_noise_and_blur_make_a_photograph_less_natural() -> None:
    photograph = data.chelsea()
    noise = np.random.default_rng(0).normal(0, 25, photograph.shape)
    noisy = (photograph + noise).clip(0, 255).astype(np.uint8)
    coarse = np.kron(photograph[::4, ::4], np.ones((4, 4, 1), np.uint8))
    whole = niqe(photograph)
    assert 2 < whole < 4  # the range of good photographs in the literature
    assert niqe(noisy) > whole + 2
    assert niqe(coarse) > whole + 2


def test_it_has_no_value_for_what_it_cannot_judge() -> None:
    assert np.isnan(niqe(np.zeros((SIDE - 1, 400, 3), np.uint8)))
    assert np.isnan(niqe(np.full((SIDE, SIDE, 3), 128, np.uint8)))
    photograph = data.chelsea()
    assert niqe(photograph, 4) == niqe(np.ascontiguousarray(photograph[4:-4, 4:-4]))


# BasicSR 8d56e3a's calculate_niqe(picture, crop_border=0) of scikit-image's photographs.
BASICSR = {"astronaut": 3.064948, "chelsea": 2.625524, "coffee": 4.115242}


@pytest.mark.parametrize("name", BASICSR)
def test_it_is_basicsrs(name: str) -> None:
    assert niqe(getattr(data, name)()) == pytest.approx(BASICSR[name], abs=1e-3)


def test_a_flat_area_is_no_texture() -> None:
    """Rounding that left a sign there would count as values of either side."""
    plane = np.full((192, 192), 127, np.float32)
    plane[:, :40] = data.chelsea()[:192, :40, 0]
    for scale, pixels in ((1, plane), (2, module._halved(plane))):
        flat = module._normalised(pixels)[:, 60 // scale :]
        assert (flat == 0).all(), scale


@pytest.mark.parametrize("shape", [0.7, 1.0, 2.0, 4.0])
def test_the_fit_finds_the_gaussian_that_made_the_values(shape: float) -> None:
    values = gennorm.rvs(shape, scale=1.5, size=(400, 400), random_state=1)
    found, left, right = module._asymmetric_gaussian(values)
    assert found == pytest.approx(shape, rel=0.05)
    assert left == pytest.approx(1.5, rel=0.05)
    assert right == pytest.approx(left, rel=0.05)


def test_halving_keeps_what_is_smooth_and_its_middle() -> None:
    rows, columns = np.mgrid[0:64, 0:96].astype(np.float32)
    halved = module._halved(2 * rows + 3 * columns)
    expected = (2 * rows + 3 * columns)[::2, ::2] + 2.5  # at the middle of each 2 x 2
    assert halved.shape == (32, 48)
    assert np.abs(halved - expected)[4:-4, 4:-4].max() < 1e-3


def test_the_statistics_of_photographs_are_a_gaussian_of_36_features() -> None:
    mean, covariance = module._of_photographs()
    assert mean.shape == (36,)
    assert np.allclose(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9
