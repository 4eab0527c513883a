"""Near duplicates are found whatever was done to the file; what only looks plain is not one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from drdd.intake.decoding import Limits, decode_and_verify
from drdd.intake.near_duplicates import NearDuplicates, NearMatch
from drdd.sources.entry import Blob
from drdd.sources.packages import package_file
from tests.corpora import Pixels, encoded

LIMITS = Limits(min_side=16, max_side=512, max_pixels=10**7)
NAMES = ["astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "retina.jpg", "ihc.png"]


def _photograph(name: str) -> Image.Image:
    """At half its size, without the colour profile that only some formats would pass on."""
    image = Image.open(package_file(f"skimage/data/{name}")).convert("RGB").reduce(2)
    return Image.fromarray(np.asarray(image))


PHOTOGRAPHS = {name: _photograph(name) for name in NAMES}


def _thumbnail(image: Image.Image, format_: str = "PNG", **options: object) -> Pixels:
    return decode_and_verify(Blob("x", encoded(image, format_, **options)), LIMITS).thumbnail


def _seen(*thumbnails: Pixels, threshold: float = 0.15) -> NearDuplicates:
    index = NearDuplicates(threshold)
    for thumbnail in thumbnails:
        index.add(thumbnail)
    return index


@pytest.fixture(scope="module")
def seen() -> NearDuplicates:
    return _seen(*(_thumbnail(image) for image in PHOTOGRAPHS.values()))


@pytest.mark.parametrize("name", NAMES)
def test_recompressed_scaled_and_trimmed_pictures_are_found(
    seen: NearDuplicates, name: str
) -> None:
    image = PHOTOGRAPHS[name]
    half = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    trims = [(2, 0, image.width, image.height), (1, 2, image.width - 2, image.height - 1)]
    variants = [
        *(_thumbnail(image, "JPEG", quality=quality) for quality in (30, 50, 75, 95)),
        _thumbnail(image, "WEBP", quality=50),
        _thumbnail(half),
        _thumbnail(half, "JPEG", quality=60),
        *(_thumbnail(image.crop(box)) for box in trims),
    ]
    for thumbnail in variants:
        match = seen.nearest(thumbnail)
        assert match is not None
        assert NAMES[match.index] == name


@pytest.mark.parametrize("name", NAMES)
def test_another_photograph_or_a_turned_one_is_none(name: str) -> None:
    others = [_thumbnail(image) for other, image in PHOTOGRAPHS.items() if other != name]
    image = PHOTOGRAPHS[name]
    assert _seen(*others, threshold=0.4).nearest(_thumbnail(image)) is None
    if name != "retina.jpg":  # round: it is like itself, turned
        turned = _thumbnail(image.transpose(Image.Transpose.FLIP_TOP_BOTTOM))
        assert _seen(_thumbnail(image)).nearest(turned) is None


def _grain(level: int, seed: int) -> Pixels:
    noise = np.random.default_rng(seed).integers(-2, 3, (16, 16, 3))
    return (level + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("level", [3, 128, 252])
def test_plain_and_dark_pictures_are_alike_only_where_their_detail_is(level: int) -> None:
    """The night sky twice is two pictures."""
    index = _seen(*(_grain(level, seed) for seed in range(5)))
    assert index.nearest(_grain(level, 99)) is None
    assert index.nearest(_grain(level, 3)) == NearMatch(3, 0.0)


def test_flat_pictures_are_alike_only_if_equal() -> None:
    flat = [np.full((16, 16, 3), level, np.uint8) for level in (0, 1, 200)]
    index = _seen(flat[0], flat[2])
    assert index.nearest(flat[0]) == NearMatch(0, 0.0)
    assert index.nearest(flat[1]) is None
    assert index.nearest(flat[2]) == NearMatch(1, 0.0)


def _difference(one: Pixels, other: Pixels) -> float:
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    contrast = max(np.sqrt(((a - a.mean()) ** 2).sum()), np.sqrt(((b - b.mean()) ** 2).sum()))
    distance = np.sqrt(((a - b) ** 2).sum())
    return float(distance / contrast) if contrast else float("inf" if distance else 0)


def _neighbours(seed: int, threshold: float) -> list[Pixels]:
    """60 thumbnails, many of which have others near the threshold, on both sides of it."""
    generator = np.random.default_rng(seed)
    first = generator.integers(0, 256, (20, 16, 16, 3))
    strengths = generator.uniform(0, 3 * threshold, 40) * 128
    patterns = [generator.normal(size=shape) for shape in [(16, 16, 3), (1, 1, 3)] * 20]
    pairs = zip(strengths, patterns, strict=True)
    moved = [first[n % 20] + strength * pattern for n, (strength, pattern) in enumerate(pairs)]
    many = [one.round().clip(0, 255).astype(np.uint8) for one in (*first, *moved)]
    return [many[n] for n in generator.permutation(len(many))]


SEEDS, THRESHOLDS = st.integers(0, 2**32 - 1), st.sampled_from([0.02, 0.1, 0.5])


@given(SEEDS, THRESHOLDS)
@settings(max_examples=20, deadline=None)
def test_the_nearest_is_that_of_a_search_through_all(seed: int, threshold: float) -> None:
    """What is compared coarsely first loses nothing."""
    many = _neighbours(seed, threshold)
    index = NearDuplicates(threshold)
    for n, new in enumerate(many):
        differences = [_difference(new, old) for old in many[:n]]
        found = index.nearest(new)
        nearest = min(differences, default=float("inf"))
        if nearest > threshold * (1 + 1e-5):
            assert found is None
        elif nearest < threshold * (1 - 1e-5):
            assert found is not None
            assert found.difference == pytest.approx(nearest, abs=1e-5)
            assert differences[found.index] == pytest.approx(nearest, abs=1e-5)
        index.add(new)


@given(SEEDS, THRESHOLDS, st.integers(1, 70))
@settings(max_examples=20, deadline=None)
def test_a_batch_is_sifted_as_its_pictures_are_in_turn(
    seed: int, threshold: float, size: int
) -> None:
    many = np.stack(_neighbours(seed, threshold))
    batchwise, one_by_one = NearDuplicates(threshold), NearDuplicates(threshold)
    found = [
        match
        for first in range(0, len(many), size)
        for match in batchwise.match_or_add(many[first : first + size])
    ]
    for new, match in zip(many, found, strict=True):
        assert match == one_by_one.nearest(new)
        if match is None:
            one_by_one.add(new)


def test_it_goes_on_beyond_its_first_thousand() -> None:
    generator = np.random.default_rng(0)
    many = generator.integers(0, 256, (2500, 16, 16, 3), dtype=np.uint8)
    index = _seen(*many)
    for n in (0, 1023, 1024, 2047, 2048, 2499):
        assert index.nearest(many[n]) == NearMatch(n, 0.0)
    assert index.nearest(255 - many[7]) is None


def test_of_equal_pictures_the_first_is_named() -> None:
    one, other = (np.random.default_rng(n).integers(0, 256, (16, 16, 3), np.uint8) for n in (0, 1))
    assert _seen(other, one, one).nearest(one) == NearMatch(1, 0.0)
    assert NearDuplicates(0.1).nearest(one) is None
