"""Night skies: clean dark pictures with bright points, of which collections of photographs have few.

Without them a model takes every dark picture for one that was taken with too little light. Stars have
fluxes of a power law (their number above a flux falls as flux^-1.5 where space is filled evenly) and the
Gaussian disc of a lens; galaxies have the exponential discs of spirals (Freeman, ApJ 1970), seen at an
angle; a nebula and the glow of the sky lie below them.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from drdd.pictures.pixels import Pixels
from drdd.synthetic.texture import texture

Floats = NDArray[np.float32]

DENSITY = (1e-3, 1e-2)  # stars per pixel: its logarithm is uniform
FAINTEST = (0.02, 0.3)  # peak of the faintest star
SLOPE = 1.5
LENS = (0.35, 1.6)  # sigma of the disc of a star, pixels
GALAXIES = (1e-4, 6e-4)  # per pixel
GLOW = (0.005, 0.1)  # brightness of the sky
NEBULA = 0.3  # brightness of the brightest nebulae
SPIKE = 40  # length of the rays about a star of peak 1, in parts of the lens's sigma
EXPOSED = 1.0  # the brightest point has at least this value
BURNT = 4.0  # peaks above it are cut


def night_sky(seed: int, number: int, height: int, width: int) -> Pixels:
    """(height, width, 3) uint8: picture `number` of a series, a pure function of the arguments."""
    rng = np.random.default_rng((seed, number))
    lens = rng.uniform(*LENS)
    light = _sky(rng, height, width)
    _add_galaxies(rng, light)
    light += _stars(rng, height, width, lens)
    light *= max(EXPOSED / float(light.max()), 1)
    shown = 1 - np.exp(-2 * light) if rng.random() < 0.5 else light
    return (shown * 255).round().clip(0, 255).astype(np.uint8)


def _sky(rng: np.random.Generator, height: int, width: int) -> Floats:
    """(H, W, 3): the glow, with its gradient, and in every second picture a nebula."""
    glow = _between(rng, GLOW) * _tints(rng, 1)[0]
    slope = 1 + 0.5 * texture(rng, height, width, 2.5)[..., None].clip(-1.5, 1.5)
    sky: Floats = (glow * slope).astype(np.float32)
    if rng.random() < 0.5:
        for tint in _tints(rng, 2):
            cloud = np.exp(1.2 * texture(rng, height, width, rng.uniform(1.6, 2.2)))
            strength = rng.uniform(0, NEBULA) / float(np.quantile(cloud, 0.99))
            sky += (strength * cloud)[..., None] * tint
    return sky


def _add_galaxies(rng: np.random.Generator, light: Floats) -> None:
    height, width, _ = light.shape
    count = rng.poisson(_between(rng, GALAXIES) * height * width)
    for tint, peak in zip(_tints(rng, count), rng.uniform(0.05, 0.8, count), strict=True):
        scale = min(rng.pareto(1.5) + 1, height / 8)
        reach = int(6 * scale) + 1
        top, left = int(rng.integers(height)), int(rng.integers(width))
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
        turn, narrow = rng.uniform(0, np.pi), rng.uniform(0.2, 1)
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        disc = peak * np.exp(-np.hypot(along, across / narrow) / scale)
        rows = slice(max(reach - top, 0), reach + min(reach + 1, height - top))
        columns = slice(max(reach - left, 0), reach + min(reach + 1, width - left))
        part = disc[rows, columns, None] * tint
        row, column = max(top - reach, 0), max(left - reach, 0)
        light[row : row + part.shape[0], column : column + part.shape[1]] += part


def _stars(rng: np.random.Generator, height: int, width: int, lens: float) -> Floats:
    """(H, W, 3): points through the lens; in some pictures the brightest ones have rays."""
    count = rng.poisson(_between(rng, DENSITY) * height * width)
    peak = _between(rng, FAINTEST) * (rng.pareto(SLOPE, count) + 1)
    points = np.zeros((height, width, 3), np.float32)
    place = rng.integers(height, size=count), rng.integers(width, size=count)
    np.add.at(points, place, peak.clip(max=BURNT)[:, None] * _tints(rng, count))
    area = 2 * np.pi * lens**2  # of a disc whose peak is 1
    stars = area * ndimage.gaussian_filter(points, (lens, lens, 0), mode="constant")
    if rng.random() < 0.3:
        bright = np.where(points > 1, points, 0)
        for axis in (0, 1):
            rays = ndimage.gaussian_filter1d(bright, SPIKE * lens / 6, axis=axis, mode="constant")
            stars += lens * ndimage.gaussian_filter1d(
                rays, lens / 2, axis=1 - axis, mode="constant"
            )
    return stars


def _tints(rng: np.random.Generator, count: int) -> Floats:
    """(count, 3) RGB of mean about 1, from reddish to bluish, as black bodies are."""
    warm = rng.normal(0, 0.25, (count, 1)).clip(-0.6, 0.6)
    own = rng.normal(0, 0.05, (count, 3))
    return (1 + warm * [1, 0, -1] + own).clip(0.1).astype(np.float32)


def _between(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    """Log-uniform."""
    return float(np.exp(rng.uniform(*np.log(ends))))
