"""Profiles are converted to sRGB and that is said, or kept, held against littleCMS and closed forms."""

import io
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageCms

from drdd.formats.carried import Keeping
from drdd.formats.profiles import from_srgb
from drdd.formats.writing import encoded
from drdd.pictures.profiles import ADOBE_RGB, made_profile
from tests.formats.samples import (
    KINDS,
    LINEAR,
    P3,
    SCENE,
    Base,
    Photo,
    assert_close,
    image_of,
    passed,
    read,
    saved,
)
from tests.pictures.test_profiles import profile_of_tables, profile_with, table_of
from tests.pictures.tiffs import made_tiff

GREY_PROFILE = profile_with("grey", b"GRAY", {b"kTRC": b"curv" + bytes(8)})


@pytest.mark.parametrize("format_", KINDS)
@pytest.mark.parametrize(
    ("profile", "name"),
    [(P3, "Display P3"), (made_profile(*ADOBE_RGB), "Adobe RGB"), (LINEAR, "linear sRGB")],
)
def test_a_profile_is_converted_and_said_or_kept(profile: bytes, name: str, format_: str) -> None:
    content = saved(SCENE, icc_profile=profile)
    converted = passed(content, format_=format_)
    assert converted.said == (f"{name} -> sRGB",)
    assert "icc_profile" not in image_of(converted.content).info
    srgb = ImageCms.profileToProfile(
        Image.fromarray(SCENE),
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    assert_close(converted.content, np.asarray(srgb), format_)
    kept = passed(content, Keeping(profile="keep"), format_)
    assert kept.said == ()
    assert image_of(kept.content).info["icc_profile"] == profile
    assert_close(kept.content, SCENE, format_)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("profile", [P3, LINEAR])
def test_colours_that_srgb_cannot_hold_are_kept_with_their_profile(
    profile: bytes, depth: int
) -> None:
    deep = np.random.default_rng(2).integers(0, 65536, (24, 40, 3), dtype=np.uint16)
    levels = deep if depth == 16 else (deep >> 8).astype(np.uint8)
    tags: Any = {34675: (7, list(profile))}
    source = read(made_tiff(levels, 2, tags=tags), Keeping(profile="keep"), "TIFF")
    written = encoded(source.pixels, source.carried, Keeping(profile="keep"), "TIFF")
    assert np.array_equal(tifffile.imread(io.BytesIO(written.content)), levels)


def test_what_a_model_changes_is_changed_in_the_kept_profile() -> None:
    """A mid grey made lighter in sRGB is the same grey in linear light."""
    grey = np.full((8, 8, 3), 55, np.uint8)
    source = read(saved(grey, icc_profile=LINEAR), Keeping(profile="keep"))
    assert np.all(source.pixels == 128)
    written = encoded(source.pixels + 60, source.carried, Keeping(profile="keep"), "PNG")
    expected = 255 * ((188 / 255 + 0.055) / 1.055) ** 2.4
    assert np.abs(np.asarray(image_of(written.content)) - expected).max() <= 1
    larger = encoded(
        (source.pixels + 60).repeat(2, 0).repeat(2, 1),
        source.carried,
        Keeping(profile="keep"),
        "PNG",
    )
    assert np.abs(np.asarray(image_of(larger.content)) - expected).max() <= 1


def _grey_profile() -> bytes:
    """Of one curve, that of linear light."""
    content = bytearray(made_profile(gamma=1))
    content[16:20] = b"GRAY"
    return bytes(content.replace(b"rTRC", b"kTRC"))


def test_a_profile_that_an_output_cannot_have_is_converted_and_said_why() -> None:
    grey = np.full((8, 8), 55, np.uint8)
    content = saved(grey, icc_profile=_grey_profile())
    written = passed(content, Keeping(profile="keep"))
    (said,) = written.said
    assert said.endswith("-> sRGB, as an output is RGB")
    image = image_of(written.content)
    assert "icc_profile" not in image.info
    assert np.abs(np.asarray(image).astype(int) - 128).max() <= 1


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("profile", [P3[:200], b"no profile", GREY_PROFILE])
def test_a_profile_that_cannot_be_used_is_ignored_and_said(profile: bytes, keep: bool) -> None:
    written = passed(saved(SCENE, icc_profile=profile), Keeping(profile="keep" if keep else "srgb"))
    assert written.said == ("its colour profile, damaged or of other colours than it has, ignored",)
    assert "icc_profile" not in image_of(written.content).info
    assert np.array_equal(np.asarray(image_of(written.content)), SCENE)


def test_cmyk_becomes_srgb_and_says_so() -> None:
    buffer = io.BytesIO()
    Image.fromarray(SCENE).convert("CMYK").save(buffer, "TIFF")
    assert passed(buffer.getvalue()).said == ("CMYK -> sRGB",)


def test_a_png_says_that_it_is_srgb() -> None:
    image = image_of(passed(saved(SCENE)).content)
    assert "srgb" in image.info
    kept = image_of(passed(saved(SCENE, icc_profile=P3), Keeping(profile="keep")).content)
    assert "srgb" not in kept.info


def test_a_cameras_adobe_rgb_is_not_claimed_of_an_output_in_srgb() -> None:
    exif = Image.Exif()
    exif.get_ifd(Photo)[Base.ColorSpace] = 65535
    exif.get_ifd(Photo)[ExifTags.IFD.Interop] = {1: "R03"}
    content = saved(SCENE, "JPEG", exif=exif.tobytes())
    written = passed(content, format_="JPEG")
    assert written.said == ("Adobe RGB -> sRGB",)
    assert b"R03" not in written.content
    assert passed(written.content).said == ()
    kept = passed(content, Keeping(profile="keep"), "JPEG")
    assert image_of(kept.content).info["icc_profile"] == made_profile(*ADOBE_RGB)
    assert image_of(kept.content).getexif().get_ifd(Photo)[Base.ColorSpace] == 65535


def test_a_profile_of_tables_is_kept_if_there_is_a_way_back() -> None:
    there = {b"A2B0": table_of(3)}
    way = profile_of_tables("one way", b"RGB ", 3)
    written = passed(saved(SCENE, icc_profile=way), Keeping(profile="keep"))
    (said,) = written.said
    assert said == "one way -> sRGB, as colours can be converted from its profile but not back"
    assert "icc_profile" not in image_of(written.content).info
    back = profile_with("and back", b"RGB ", there | {b"B2A0": table_of(3)}, b"Lab ")
    written = passed(saved(SCENE, icc_profile=back), Keeping(profile="keep"))
    assert written.said == ()
    assert image_of(written.content).info["icc_profile"] == back
    assert np.array_equal(np.asarray(image_of(written.content)), SCENE)


@pytest.mark.parametrize("profile", [P3, LINEAR, made_profile(*ADOBE_RGB)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_of_srgb_in_a_profile_are_those_of_the_library(profile: bytes, dtype: Any) -> None:
    """Held against littleCMS, which rounds to 8 bits."""
    expected = ImageCms.profileToProfile(
        Image.fromarray(SCENE),
        ImageCms.createProfile("sRGB"),
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    white = np.iinfo(dtype).max
    found = from_srgb((SCENE.astype(np.uint32) * white // 255).astype(dtype), profile)
    assert found is not None
    assert found.dtype == dtype
    assert np.abs(found * (255 / white) - np.asarray(expected)).max() <= 1.6


@pytest.mark.parametrize(("profile", "far"), [(LINEAR, 2), (P3, 2)])
def test_all_levels_of_16_bits_are_converted_as_the_formula_says(profile: bytes, far: int) -> None:
    """IEC 61966-2-1; a grey of sRGB is the same grey of Display P3, which has its curve and white.

    The primaries of a profile have 16 binary places, so white is off by a level or two.
    """
    ramp = np.arange(65536, dtype=np.uint16)
    found = from_srgb(np.repeat(ramp[None, :, None], 3, axis=2), profile)
    assert found is not None
    x = ramp / 65535
    light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    expected = 65535 * (light if profile == LINEAR else x)
    assert np.abs(found[0] - expected[:, None]).max() <= far
