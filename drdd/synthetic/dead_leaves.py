"""Dead leaves: clean pictures with the statistics of photographs, drawn without one.

Shapes of power-law sizes fall at random and hide what lies below them (Lee, Mumford and Huang, Occlusion
models for natural images, IJCV 2001). With a density of radii ~ r^-3 the model looks alike at every scale,
and its power spectrum falls about as f^-2, as that of photographs does. Leaves are discs, ellipses, bars,
polygons and blobs, each with its own colour, gradient and texture.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from drdd.pictures.pixels import Pixels
from drdd.synthetic.texture import texture

Floats = NDArray[np.float32]

FINE = 2  # leaves are drawn so many times larger and averaged, which smooths their edges
VERTICES = 20
GRID = 32  # of the fields from which colours come
COVERED = 3.0  # the sum of all leaves' areas, in parts of the picture's
SMALLEST = (2.0, 16.0)  # radius, pixels: its logarithm is uniform
LARGEST = (0.15, 0.6)  # radius, in parts of the shorter side
SMOOTHNESS = (2.2, 1.3, 0.9)  # of textures: their amplitudes fall as f to minus these
BLUR = (0.3, 0.8)  # of the lens: sigma, pixels

# Of colours: deviations within a picture of the logarithm of lightness, and of chroma in parts of it, from
# blue to orange and from magenta to green, as the principal axes of photographs' colours lie.
SPREAD = np.array([0.55, 0.22, 0.07])
CHROMA = np.array([[1, 0.1, -1], [-0.6, 0.8, -0.6]])


def dead_leaves(seed: int, number: int, height: int, width: int) -> Pixels:
    """(height, width, 3) uint8: picture `number` of a series, a pure function of the arguments."""
    rng = np.random.default_rng((seed, number))
    leaves = _leaves(rng, height, width)
    shown = _seen(leaves, height, width)
    colours = _colours(rng, leaves, height, width)
    shades = _shades(rng, leaves, shown, height, width)
    corners = [shown[row::FINE, column::FINE] for row in range(FINE) for column in range(FINE)]
    flat = sum(colours[corner] for corner in corners) / len(corners)
    lit = flat * shades[..., None]
    sigma = rng.uniform(*BLUR)
    seen = ndimage.gaussian_filter(lit, (sigma, sigma, 0), mode="nearest", truncate=3)
    return (seen * 255).round().clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class _Leaves:
    """From the lowest to the topmost. middle: (N, 2) row, column; radius: (N,); outline: (N, V, 2) x, y."""

    middle: Floats
    radius: Floats
    outline: Floats


def _leaves(rng: np.random.Generator, height: int, width: int) -> _Leaves:
    side = min(height, width)
    least = np.exp(rng.uniform(*np.log(SMALLEST)))
    most = max(side * rng.uniform(*LARGEST), 2 * least)
    # The mean area of discs whose radii have the density r^-3 between least and most.
    area = 2 * np.pi * np.log(most / least) / (least**-2 - most**-2)
    around = (height + 2 * least) * (width + 2 * least)
    count = int(COVERED * around / area) + 1
    share = rng.random(count)
    radius = (least**-2 - share * (least**-2 - most**-2)) ** -0.5
    middle = rng.random((count, 2)) * (np.array([height, width]) + 2 * radius[:, None])
    middle -= radius[:, None]
    return _Leaves(
        middle.astype(np.float32),
        radius.astype(np.float32),
        _outlines(rng, middle, radius).astype(np.float32),
    )


def _outlines(
    rng: np.random.Generator, middle: NDArray[np.float64], radius: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(N, V, 2): polygons of V vertices, x and y; those with few corners repeat some."""
    count = len(radius)
    kind = rng.integers(0, 5, count)[:, None]  # disc, ellipse, bar, polygon, blob
    sides = np.where(kind == 2, 4, np.where(kind == 3, rng.integers(3, 8, (count, 1)), VERTICES))
    corner = np.arange(VERTICES) * sides // VERTICES
    uneven = np.where(kind == 3, 0.7, 0) * rng.random((count, VERTICES))
    angle = (corner + 0.5 + np.take_along_axis(uneven, corner, 1)) * (2 * np.pi / sides)
    wave = rng.normal(0, 0.25, (count, 3)) / np.arange(1, 4)
    phase = 2 * np.pi * rng.random((count, 3))
    waves = sum(
        wave[:, [k]] * np.sin((k + 2) * angle + phase[:, [k]]) for k in range(wave.shape[1])
    )
    length = np.where(kind == 4, 1 + waves, 1)
    narrow = np.exp(-rng.exponential(0.7, (count, 1)))
    narrow = np.where(kind == 0, 1, np.where(kind == 2, narrow**2, narrow)).clip(0.03)
    wide = np.sqrt(1 / narrow).clip(max=3)  # about as large as the disc
    along, across = wide * length * np.cos(angle), wide * narrow * length * np.sin(angle)
    turn = 2 * np.pi * rng.random((count, 1))
    x = along * np.cos(turn) - across * np.sin(turn)
    y = along * np.sin(turn) + across * np.cos(turn)
    return middle[:, None, ::-1] + radius[:, None, None] * np.stack((x, y), -1)


def _seen(leaves: _Leaves, height: int, width: int) -> NDArray[np.int32]:
    """(FINE * height, FINE * width): the number of the leaf that is seen; 0 is the ground."""
    image = Image.new("I", (FINE * width, FINE * height), 0)
    drawing = ImageDraw.Draw(image)
    for number, outline in enumerate(
        (FINE * leaves.outline).reshape(len(leaves.radius), -1).tolist(), 1
    ):
        drawing.polygon(outline, fill=number)
    return np.asarray(image)


def _colours(rng: np.random.Generator, leaves: _Leaves, height: int, width: int) -> Floats:
    """(1 + N, 3) RGB in (0, 1]: what lies close together has similar colours."""
    field = np.stack([texture(rng, GRID, GRID, 1.5) for _ in SPREAD], -1)
    place = (leaves.middle / (height, width) * GRID).astype(int).clip(0, GRID - 1)
    around = np.concatenate((field[:1, 0], field[place[:, 0], place[:, 1]]))
    own = rng.laplace(0, 0.5**0.5, around.shape)
    spread = SPREAD * rng.uniform(0.5, 1.2)
    mean = np.log(rng.uniform(0.15, 0.6)), *rng.normal((0.05, 0), SPREAD[1:] / 2)
    lightness, *chroma = (mean + spread * (0.6 * around + 0.8 * own)).T
    tint = 1 + np.stack(chroma, -1).clip(-0.8, 0.8) @ CHROMA
    return (np.exp(lightness)[:, None] * tint).clip(0.005, 1).astype(np.float32)


def _shades(
    rng: np.random.Generator, leaves: _Leaves, shown: NDArray[np.int32], height: int, width: int
) -> Floats:
    """(H, W): factors of the colours about 1: a gradient and textures of each leaf, and the light."""
    count = 1 + len(leaves.radius)
    leaf = shown[FINE // 2 :: FINE, FINE // 2 :: FINE]
    row, column = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    middle = np.concatenate(([[height / 2, width / 2]], leaves.middle))
    radius = np.concatenate(([max(height, width) / 2], leaves.radius))
    slope = rng.normal(0, 0.15, (count, 2)) * (rng.random((count, 1)) < 0.7) / radius[:, None]
    level = 1 - (slope * middle).sum(1)
    shade = level.astype(np.float32)[leaf]
    shade += slope[:, 0].astype(np.float32)[leaf] * row
    shade += slope[:, 1].astype(np.float32)[leaf] * column
    for smoothness in SMOOTHNESS:
        field = texture(rng, height, width, smoothness).ravel()
        strength = np.abs(rng.normal(0, 0.1, count)) * (rng.random(count) < 0.6)
        shift = rng.integers(0, height * width, count, dtype=np.int32)
        place = shift[leaf] + np.arange(height * width, dtype=np.int32).reshape(height, width)
        place[place >= height * width] -= height * width
        shade += strength.astype(np.float32)[leaf] * field[place]
    light = texture(rng, height, width, 2.5)
    return shade.clip(0.2, 2) * (1 + rng.uniform(0, 0.25) * light)
