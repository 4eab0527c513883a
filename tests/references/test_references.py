"""What each reference does, told by closed forms, and what all have in common."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data

from drdd.degradations.catalogue import SCHEMAS
from drdd.degradations.chain import degrade
from drdd.metrics.fidelity import psnr_rgb
from drdd.pictures.scaling import enlarged, reduced, whole_pixels
from drdd.references import haze, jpeg, masks, noise, sharpness, tone, weather
from drdd.references.catalogue import FILES, REFERENCES, reference_of
from drdd.references.registry import ENLARGED, reference
from tests.conftest import ROOT

NAMES = sorted(REFERENCES)
WITHOUT = {"grey", "edges"}  # nothing usual brings colours back, or a scene from its drawing


def _photograph() -> NDArray[np.uint8]:
    return np.asarray(data.coffee()[60:220, 100:300])


def _degraded(kind: str, **settings: Any) -> NDArray[np.uint8]:
    step = SCHEMAS[kind].model_validate({"kind": kind, **settings}).model_dump()
    return degrade(_photograph(), [step], 0, kind)


def test_every_file_of_the_folder_is_in_the_catalogue() -> None:
    declaring = {
        path.stem
        for path in (ROOT / "drdd/references").glob("*.py")
        if "\n@reference(" in path.read_text()
    }
    assert {file.__name__.rpartition(".")[2] for file in FILES} == declaring


def test_every_degradation_has_one_reference_or_is_known_to_have_none() -> None:
    kinds = [kind for one in REFERENCES.values() for kind in one.kinds]
    assert len(kinds) == len(set(kinds))
    assert {*kinds} | WITHOUT == {*SCHEMAS, ENLARGED}


def test_a_name_and_a_kind_are_taken_once() -> None:
    with pytest.raises(ValueError, match="'opening'"):
        reference("new", source="")(weather.opening)
    with pytest.raises(ValueError, match=r"'<lambda>'.*rain"):
        reference("rain", source="")(lambda pixels: pixels)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(64, 65), (17, 9), (1, 1), (2, 40)])
def test_shape_and_type_are_kept_at_any_size(name: str, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    before = pixels.copy()
    pixels.setflags(write=False)
    restored = REFERENCES[name].restore(pixels)
    assert restored.shape == pixels.shape
    assert restored.dtype == np.uint8
    assert np.array_equal(restored, REFERENCES[name].restore(pixels))
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("grey", [0, 77, 255])
def test_a_flat_picture_stays_flat(name: str, grey: int) -> None:
    restored = REFERENCES[name].restore(np.full((40, 48, 3), grey, np.uint8))
    assert np.ptp(restored) <= 1


@pytest.mark.parametrize("kind", sorted(SCHEMAS.keys() - WITHOUT))
def test_a_reference_is_better_than_its_input(kind: str) -> None:
    name = reference_of(None, [kind])
    assert name is not None
    degraded, target = _degraded(kind), _photograph()
    assert psnr_rgb(REFERENCES[name].restore(degraded), target) > psnr_rgb(degraded, target)


@pytest.mark.parametrize("sigma", [5, 25, 50])
def test_the_noise_level_is_found(sigma: float) -> None:
    flat = np.full((200, 201, 3), 0.5, np.float32)
    noisy = flat + np.random.default_rng(0).normal(0, sigma / 255, flat.shape).astype(np.float32)
    assert noise.noise_level(noisy) * 255 == pytest.approx(sigma, rel=0.03)
    assert noise.noise_level(flat) == 0


def test_non_local_means_lowers_noise_on_a_flat_picture_and_keeps_an_edge() -> None:
    clean = np.full((96, 96, 3), 60, np.uint8)
    clean[:, 48:] = 190
    noisy = (clean + np.random.default_rng(1).normal(0, 25, clean.shape)).clip(0, 255)
    restored = noise.non_local_means(noisy.astype(np.uint8)).astype(float)
    inside = restored[:, 8:40] - 60
    assert inside.std() < 25 / 4
    assert restored[:, 49:52].mean() - restored[:, 44:47].mean() > 120


def test_the_median_leaves_what_is_neither_black_nor_white() -> None:
    clean = _photograph().clip(1, 254)
    dotted = clean.copy()
    dotted[5, 5], dotted[20, 30] = 0, 255
    restored = noise.median(dotted)
    changed = {tuple(place) for place in np.argwhere((restored != dotted).any(-1))}
    assert changed == {(5, 5), (20, 30)}
    assert np.array_equal(restored[5, 5], np.median(dotted[4:7, 4:7], axis=(0, 1)))


def test_a_stretch_undoes_a_darker_exposure_and_keeps_hues() -> None:
    bright = np.asarray(data.astronaut()[:200, :200])  # from black to white
    dark = (bright * 0.3).round().astype(np.uint8)
    assert psnr_rgb(tone.percentile_stretch(dark), bright) > 30
    red = np.zeros((10, 10, 3), np.uint8)
    red[:5, :, 0] = 60
    assert tuple(tone.percentile_stretch(red)[0, 0]) == (255, 0, 0)


def test_a_channel_stretch_uses_the_whole_range_of_each_channel() -> None:
    faded = (_photograph() * [0.5, 0.4, 0.3] + [90, 80, 40]).round().astype(np.uint8)
    restored = tone.channel_stretch(faded)
    assert restored.min((0, 1)).tolist() == [0, 0, 0]
    assert restored.max((0, 1)).tolist() == [255, 255, 255]


def test_a_haze_of_one_density_with_a_dark_patch_everywhere_is_removed_but_for_its_share() -> None:
    """With black in every patch and pure airlight in the sky, A and t are known: t = 1 - KEPT (1 - t0)."""
    rng = np.random.default_rng(2)
    scene = rng.integers(0, 200, (300, 200, 3)) * (rng.random((300, 200, 1)) > 0.2)
    airlight, t = np.array([220, 220, 220]), 0.5
    hazy = (scene * t + airlight * (1 - t)).round().astype(np.uint8)
    hazy[:20] = airlight
    restored = haze.dark_channel(hazy).astype(float)[150:250]
    removed = 1 - haze.KEPT * (1 - t)
    expected = (hazy[150:250] - airlight) / removed + airlight
    assert np.abs(restored - expected.clip(0, 255)).mean() < 4


def test_opening_removes_streaks_that_are_narrower_than_its_window_and_nothing_wider() -> None:
    clean = np.full((60, 80, 3), 50, np.uint8)
    clean[:, 40:60] = 150  # wider than the window
    rainy = clean.copy()
    rainy[:, 10:16] = 255
    assert np.array_equal(weather.opening(rainy), clean)


def test_the_snow_of_a_closed_form_is_removed() -> None:
    clean = np.full((60, 80, 3), (40, 80, 120), np.uint8)
    flakes = np.zeros((60, 80, 1))
    flakes[10:17, 20:27] = 0.5
    snowy = (clean + flakes * (255 - clean)).round().astype(np.uint8)
    assert np.abs(weather.veil_by_opening(snowy).astype(int) - clean).max() <= 2


def test_wiener_sharpens_what_a_gaussian_blurred() -> None:
    target = _photograph()
    blurred = ndimage.gaussian_filter(target, (sharpness.SIGMA, sharpness.SIGMA, 0))
    restored = sharpness.wiener(blurred)
    assert psnr_rgb(restored, target) > psnr_rgb(blurred, target) + 2


def test_an_unsharp_mask_steepens_an_edge() -> None:
    step = np.full((40, 60, 3), 80, np.uint8)
    step[:, 30:] = 160
    soft = ndimage.gaussian_filter(step, (2, 2, 0))
    sharp = sharpness.unsharp_mask(soft).astype(int)
    assert sharp[20, 31, 0] - sharp[20, 28, 0] > int(soft[20, 31, 0]) - int(soft[20, 28, 0])


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_an_enlarged_picture_is_sharper_with_its_reference(scale: int) -> None:
    name = reference_of(None, [ENLARGED])
    assert name == "fine_unsharp_mask"
    target = whole_pixels(_photograph(), scale)
    large = enlarged(reduced(target, scale), scale)
    assert psnr_rgb(REFERENCES[name].restore(large), target) > psnr_rgb(large, target)


@pytest.mark.parametrize("quality", [10, 20, 40])
def test_the_quality_of_a_jpeg_is_found(quality: int) -> None:
    assert jpeg._quality(_degraded("jpeg", quality=[quality, quality])) == quality


def test_shifted_jpeg_is_the_mean_of_all_shifts() -> None:
    """Another way to shift: roll, of a picture whose borders do not matter."""
    pixels = _degraded("jpeg", quality=[20, 20])
    inside = (slice(32, 96), slice(32, 96))
    shifts = [
        np.roll(jpeg._coded(np.roll(pixels, (row, column), (0, 1)), 20), (-row, -column), (0, 1))
        for row in range(1, 9)
        for column in range(1, 9)
    ]
    found = jpeg.shifted_jpeg(pixels)[inside].astype(float)
    assert np.abs(found - np.mean(shifts, 0)[inside]).max() <= 1


@pytest.mark.parametrize("kind", ["box_mask", "border_mask", "brush_mask"])
@pytest.mark.parametrize("fill", [0.0, 0.5, 1.0])
def test_a_hole_is_found_and_nothing_else_changes(kind: str, fill: float) -> None:
    degraded, clean = _degraded(kind, fill=[fill, fill]), _photograph()
    hole = (degraded != clean).any(-1)
    found = masks.find_hole(degraded)
    assert (hole & ~found).sum() == 0
    assert (found & ~hole).mean() < 0.01  # pixels of the hole's very grey beside it
    restored = masks.biharmonic(degraded)
    assert np.array_equal(restored[~found], clean[~found])


def test_a_black_background_is_no_hole_beside_one() -> None:
    pixels = _photograph().copy()
    pixels[:60] = 0
    pixels[100:120, 40:90] = 128
    expected = np.zeros(pixels.shape[:2], bool)
    expected[100:120, 40:90] = True
    assert np.array_equal(masks.find_hole(pixels), expected)


def test_a_photograph_without_a_hole_stays() -> None:
    assert np.array_equal(masks.biharmonic(_photograph()), _photograph())


@pytest.mark.parametrize("side", [6, 60])
def test_a_plane_is_filled_as_a_plane(side: int) -> None:
    """Planes are biharmonic. side: of the hole, solved as it is or scaled down."""
    row, column = np.mgrid[:120, :140]
    plane = np.stack((20 + row, 30 + column, 40 + (row + column) / 2), -1).round().astype(np.uint8)
    holed = plane.copy()
    holed[30 : 30 + side, 40 : 40 + side] = 128
    assert np.abs(masks.biharmonic(holed).astype(int) - plane).max() <= 2


def test_names_are_known_without_numpy() -> None:
    """params.yaml is read by every command, and the plain package has no SciPy."""
    heavy = ("numpy", "PIL", "scipy", "skimage", "torch")
    said = f"import sys, drdd.references.catalogue; print([m for m in {heavy} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", said], cwd=ROOT, capture_output=True, text=True)
    assert shown.stdout == "[]\n"
