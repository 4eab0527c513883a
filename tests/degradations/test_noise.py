"""Noise by its moments."""

import numpy as np
import pytest
import torch
from scipy import stats

from drdd.degradations import noise
from drdd.degradations.chain import degrade
from drdd.diffusion.keyed import keyed_generator
from tests.degradations.pictures import flat


def test_gaussian_noise_has_the_sigma_it_is_asked_for() -> None:
    grey = np.full((96, 128, 3), 128, dtype=np.uint8)
    noisy = degrade(grey, [{"kind": "gaussian_noise", "sigma": (25, 25)}], 0)
    difference = noisy.astype(float) - grey
    assert abs(difference.mean()) < 0.5
    assert difference.std() == pytest.approx(25, rel=0.02)


@pytest.mark.parametrize("value", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("peak", [40, 200])
def test_poisson_noise_counts_photons(value: float, peak: float) -> None:
    """Mean x, variance x / peak, values at whole numbers of photons; black stays black."""
    noisy = noise.poisson_noise(flat(value, 128, 128), keyed_generator(0), peak=(peak, peak))
    assert float(noisy.mean()) == pytest.approx(value, rel=0.01)
    assert float(noisy.var()) == pytest.approx(value / peak, rel=0.05)
    photons = noisy * peak
    torch.testing.assert_close(photons, photons.round(), atol=1e-3, rtol=0)
    assert not noise.poisson_noise(flat(0.0), keyed_generator(0), peak=(peak, peak)).any()


@pytest.mark.parametrize("mean", [0.05, 0.7, 3, 9.9, 10.1, 14, 40, 900])
def test_photons_are_distributed_as_poissons_law_says(mean: float) -> None:
    """Pearson's chi-squared over all counts that are expected at least 20 times."""
    draws, rng = 400_000, keyed_generator("photons", str(mean))
    counts = noise._poisson(torch.full((draws,), float(mean)), rng)
    observed = np.bincount(counts.long().numpy())
    usual = np.flatnonzero(draws * stats.poisson.pmf(np.arange(len(observed)), mean) >= 20)
    expected = draws * stats.poisson.pmf(usual, mean)
    seen, rest = observed[usual], draws - expected.sum()
    statistic = ((seen - expected) ** 2 / expected).sum() + (draws - seen.sum() - rest) ** 2 / rest
    assert stats.chi2.sf(statistic, len(usual)) > 1e-3


def test_few_and_many_photons_stay_in_their_places() -> None:
    means = torch.tensor([0.0, 400.0, 2.0, 90.0, 9.0, 11.0]).repeat(20_000, 1)
    drawn = noise._poisson(means, keyed_generator("places"))
    torch.testing.assert_close(drawn.mean(0), means[0], rtol=0.02, atol=0)
    torch.testing.assert_close(drawn.var(0), means[0], rtol=0.05, atol=0)


def test_salt_and_pepper_hits_its_share_of_whole_pixels_half_white_half_black() -> None:
    noisy = noise.salt_and_pepper(flat(0.4, 256, 256), keyed_generator(2), density=(0.2, 0.2))
    assert torch.equal(noisy[:, 0], noisy[:, 1])
    assert torch.equal(noisy[:, 0], noisy[:, 2])
    assert noisy.unique().tolist() == pytest.approx([0.0, 0.4, 1.0])
    for impulse in (0.0, 1.0):
        assert float((noisy == impulse).float().mean()) == pytest.approx(0.1, abs=0.005)


@pytest.mark.parametrize("value", [0.0, 0.25, 0.5])
def test_speckle_grows_with_the_value(value: float) -> None:
    noisy = noise.speckle(flat(value, 128, 128), keyed_generator(3), sigma=(0.2, 0.2))
    assert float(noisy.std()) == pytest.approx(0.2 * value, rel=0.02)
    assert float(noisy.mean()) == pytest.approx(value, rel=0.01)


def test_each_image_draws_its_level_from_the_range() -> None:
    x = flat(0.5, 64, 64, batch=200)
    noisy = noise.gaussian_noise(x, keyed_generator(4), sigma=(10, 30))
    levels = 255 * noisy.flatten(1).std(1)
    assert 9 < float(levels.min()) < 11
    assert 29 < float(levels.max()) < 31
    assert float(levels.mean()) == pytest.approx(20, abs=1.5)
