"""Random fields with the power spectrum of natural textures."""

import numpy as np
from numpy.typing import NDArray
from scipy import fft


def texture(
    rng: np.random.Generator, height: int, width: int, smoothness: float
) -> NDArray[np.float32]:
    """(H, W), mean 0, deviation 1, periodic: amplitudes that fall as f^-smoothness, random phases."""
    row, column = fft.fftfreq(height)[:, None], fft.rfftfreq(width)
    frequency = np.hypot(row, column).astype(np.float32)
    frequency[0, 0] = np.inf
    waves = rng.standard_normal((2, *frequency.shape), np.float32)
    field = fft.irfft2((waves[0] + 1j * waves[1]) * frequency**-smoothness, (height, width))
    return ((field - field.mean()) / field.std()).astype(np.float32)
