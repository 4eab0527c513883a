"""What an input carries is in the output, as other programs read it."""

import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from drdd.errors import UserError
from drdd.formats.carried import FORMATS, Keeping
from drdd.formats.exif import Metadata
from drdd.formats.profiles import from_srgb
from drdd.formats.writing import encoded
from drdd.formats.xmp import rewritten
from drdd.pictures.code_points import profile_of
from drdd.pictures.colours import TURNS
from drdd.pictures.profiles import ADOBE_RGB, eight_bits, made_profile
from tests.corpora import scene
from tests.formats.samples import (
    NOTE,
    Base,
    Gps,
    Photo,
    camera_exif,
    image_of,
    passed,
    read,
    samples_of_png,
)
from tests.pictures.pngs import RGB, RGBA, made_png
from tests.pictures.test_profiles import profile_of_tables, profile_with, table_of
from tests.pictures.tiffs import RATIONAL, SHORT, made_tiff

SCENE = scene(3, 24, 40)
ALPHA = np.random.default_rng(1).integers(0, 256, (24, 40), dtype=np.uint8)
DEEP = np.random.default_rng(2).integers(0, 65536, (24, 40, 4), dtype=np.uint16)
P3, LINEAR = profile_of(12, 1), made_profile(gamma=1)
KINDS = sorted(set(FORMATS.values()))
LOSSLESS = ("PNG", "TIFF")


def _saved(pixels: NDArray[Any], format_: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    options |= {"lossless": True, "exact": True} if format_ == "WEBP" else {}
    Image.fromarray(pixels).save(buffer, format_, **options)
    return buffer.getvalue()


def _close(content: bytes, pixels: NDArray[Any], format_: str, mode: str = "RGB") -> None:
    found = np.asarray(image_of(content).convert(mode)).astype(int)
    assert found.shape == pixels.shape
    if format_ in LOSSLESS:
        assert np.array_equal(found, pixels)
    else:
        assert np.abs(found - pixels).mean() < 8


@pytest.mark.parametrize("format_", KINDS)
@pytest.mark.parametrize("given", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied_once(given: str, orientation: int, format_: str) -> None:
    content = _saved(SCENE, given, exif=camera_exif(orientation))
    turn = TURNS.get(orientation)
    stored = image_of(content).convert("RGB") if given != "TIFF" else Image.fromarray(SCENE)
    upright = np.asarray(stored.transpose(turn) if turn is not None else stored)
    written = passed(content, format_=format_)
    _close(written.content, upright, format_)
    exif = image_of(written.content).getexif()
    assert exif[Base.Orientation] == 1
    across, down = upright.shape[1], upright.shape[0]
    photo = exif.get_ifd(Photo)
    assert (photo[Base.ExifImageWidth], photo[Base.ExifImageHeight]) == (across, down)
    assert image_of(written.content).size == (across, down)
    assert written.said == ()


@pytest.mark.parametrize("format_", KINDS)
@pytest.mark.parametrize("given", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_exif_is_kept_as_a_whole(given: str, format_: str) -> None:
    content = _saved(SCENE, given, exif=camera_exif(6))
    exif = image_of(passed(content, format_=format_).content).getexif()
    assert exif[Base.Model] == "Model 5"
    assert exif[Base.Artist] == "A. Person"
    assert exif[Base.DateTime] == "2026:05:01 10:00:00"
    photo = exif.get_ifd(Photo)
    assert photo[Base.BodySerialNumber] == "SN12345"
    assert photo[Base.MakerNote] == NOTE
    assert photo[Base.ExposureTime] == pytest.approx(0.01)
    assert photo[Base.ColorSpace] == 1, "its colours are sRGB now"
    assert exif.get_ifd(Gps)[ExifTags.GPS.GPSLatitude] == (48.0, 30.0, 15.5)


@pytest.mark.parametrize("format_", KINDS)
@pytest.mark.parametrize("given", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("metadata", ["anonymous", "none"])
def test_what_identifies_is_dropped_on_request(
    given: str, format_: str, metadata: Metadata
) -> None:
    xmp = b"<x:xmpmeta>A. Person</x:xmpmeta>"
    more = {} if given == "TIFF" else {"xmp": xmp}
    if given == "PNG":
        more = {}
    content = _saved(SCENE, given, exif=camera_exif(6), **more)
    assert b"A. Person" in content
    written = passed(content, Keeping(metadata=metadata), format_)
    for secret in (b"Person", b"SN12345", b"MAKER", b"garden", b"secret", b"xmpmeta"):
        assert secret not in written.content
    exif = image_of(written.content).getexif()
    assert not exif.get_ifd(Gps)
    photo = exif.get_ifd(Photo)
    if metadata == "none":
        assert not photo
        assert Base.Model not in exif
        return
    assert exif[Base.Model] == "Model 5"
    assert photo[Base.FNumber] == pytest.approx(2.8)
    assert exif[Base.Orientation] == 1


@pytest.mark.parametrize("format_", KINDS)
@pytest.mark.parametrize("given", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("scale", [1, 2])
def test_the_print_stays_as_large(given: str, format_: str, scale: int) -> None:
    content = _saved(SCENE, given, dpi=(300, 150))
    source = read(content, format_=format_)
    pixels = source.pixels.repeat(scale, 0).repeat(scale, 1)
    image = image_of(encoded(pixels, source.carried, Keeping(), format_).content)
    if format_ == "WEBP":
        exif = image.getexif()
        dpi = exif[Base.XResolution], exif[Base.YResolution]
    else:
        dpi = image.info["dpi"]
    assert dpi == pytest.approx((300 * scale, 150 * scale), rel=1e-3)


@pytest.mark.parametrize("unit", [(2, 1.0), (3, 2.54)])
def test_the_resolution_of_a_turned_tiff_is_turned(unit: tuple[int, float]) -> None:
    tags: Any = {274: (SHORT, [6]), 282: (RATIONAL, [100, 1]), 283: (RATIONAL, [50, 1])}
    content = made_tiff(SCENE, 2, tags=tags | {296: (SHORT, [unit[0]])})
    dpi = image_of(passed(content, format_="TIFF").content).info["dpi"]
    assert dpi == pytest.approx((50 * unit[1], 100 * unit[1]))


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("given", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_as_it_was(given: str, format_: str) -> None:
    written = passed(_saved(np.dstack([SCENE, ALPHA]), given), format_=format_)
    image = image_of(written.content)
    assert image.mode == "RGBA"
    assert np.array_equal(np.asarray(image)[..., 3], ALPHA)
    if format_ in LOSSLESS:
        assert np.array_equal(np.asarray(image)[..., :3], SCENE)


def test_a_jpeg_is_laid_on_white_and_says_so() -> None:
    written = passed(_saved(np.dstack([SCENE, ALPHA * 0])), format_="JPEG")
    assert np.asarray(image_of(written.content)).min() > 250
    assert written.said == ("transparency -> white, as JPEG has none",)
    source = read(_saved(np.dstack([SCENE, ALPHA])))
    with pytest.raises(UserError, match="JPEG has no transparency; write PNG or TIFF or WEBP"):
        encoded(source.pixels, source.carried, Keeping(), "JPEG")


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("given", ["PNG", "TIFF", "TIFF >"])
def test_sixteen_bits_are_kept(given: str, channels: int) -> None:
    levels = DEEP[..., :channels]
    if given == "PNG":
        content = made_png(levels, RGB if channels == 3 else RGBA, 16)
    else:
        tags: Any = {338: (SHORT, [2])} if channels == 4 else {}
        content = made_tiff(levels, 2, order=">" if ">" in given else "<", tags=tags)
    png = passed(content, format_="PNG")
    assert np.array_equal(samples_of_png(png.content), levels)
    written = passed(content, format_="TIFF")
    assert np.array_equal(tifffile.imread(io.BytesIO(written.content)), levels)
    assert written.said == png.said == ()
    eight = passed(content, Keeping(depth=8), "PNG")
    found = samples_of_png(eight.content)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(float) - levels / 257).max() <= 0.501
    assert eight.said == ()
    jpeg = passed(content, format_="JPEG")
    assert "16 bits -> 8, as JPEG has" in jpeg.said


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_eight_bits_become_sixteen_on_request(format_: str) -> None:
    written = passed(_saved(SCENE), Keeping(depth=16), format_)
    if format_ == "PNG":
        found = samples_of_png(written.content)
    else:
        found = tifffile.imread(io.BytesIO(written.content))
    assert np.array_equal(found, SCENE.astype(np.uint16) * 257)


@pytest.mark.parametrize("format_", ["JPEG", "WEBP"])
def test_a_depth_that_the_format_does_not_hold_is_refused(format_: str) -> None:
    with pytest.raises(UserError, match=f"{format_} has 8 bits a channel, not 16; write PNG"):
        Keeping(depth=16).check(format_)


@pytest.mark.parametrize("format_", KINDS)
@pytest.mark.parametrize(
    ("profile", "name"),
    [(P3, "Display P3"), (made_profile(*ADOBE_RGB), "Adobe RGB"), (LINEAR, "linear sRGB")],
)
def test_a_profile_is_converted_and_said_or_kept(profile: bytes, name: str, format_: str) -> None:
    content = _saved(SCENE, icc_profile=profile)
    converted = passed(content, format_=format_)
    assert converted.said == (f"{name} -> sRGB",)
    assert "icc_profile" not in image_of(converted.content).info
    srgb = ImageCms.profileToProfile(
        Image.fromarray(SCENE),
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    _close(converted.content, np.asarray(srgb), format_)
    kept = passed(content, Keeping(profile="keep"), format_)
    assert kept.said == ()
    assert image_of(kept.content).info["icc_profile"] == profile
    _close(kept.content, SCENE, format_)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("profile", [P3, LINEAR])
def test_colours_that_srgb_cannot_hold_are_kept_with_their_profile(
    profile: bytes, depth: int
) -> None:
    levels = DEEP[..., :3] if depth == 16 else (DEEP[..., :3] >> 8).astype(np.uint8)
    tags: Any = {34675: (7, list(profile))}
    source = read(made_tiff(levels, 2, tags=tags), Keeping(profile="keep"), "TIFF")
    written = encoded(source.pixels, source.carried, Keeping(profile="keep"), "TIFF")
    assert np.array_equal(tifffile.imread(io.BytesIO(written.content)), levels)


def test_what_a_model_changes_is_changed_in_the_kept_profile() -> None:
    """A mid grey made lighter in sRGB is the same grey in linear light."""
    grey = np.full((8, 8, 3), 55, np.uint8)
    source = read(_saved(grey, icc_profile=LINEAR), Keeping(profile="keep"))
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
    content = _saved(grey, icc_profile=_grey_profile())
    written = passed(content, Keeping(profile="keep"))
    (said,) = written.said
    assert said.endswith("-> sRGB, as an output is RGB")
    image = image_of(written.content)
    assert "icc_profile" not in image.info
    assert np.abs(np.asarray(image).astype(int) - 128).max() <= 1


def test_cmyk_becomes_srgb_and_says_so() -> None:
    buffer = io.BytesIO()
    Image.fromarray(SCENE).convert("CMYK").save(buffer, "TIFF")
    assert passed(buffer.getvalue()).said == ("CMYK -> sRGB",)


def test_a_png_says_that_it_is_srgb() -> None:
    image = image_of(passed(_saved(SCENE)).content)
    assert "srgb" in image.info
    kept = image_of(passed(_saved(SCENE, icc_profile=P3), Keeping(profile="keep")).content)
    assert "srgb" not in kept.info


def test_a_cameras_adobe_rgb_is_not_claimed_of_an_output_in_srgb() -> None:
    exif = Image.Exif()
    exif.get_ifd(Photo)[Base.ColorSpace] = 65535
    exif.get_ifd(Photo)[ExifTags.IFD.Interop] = {1: "R03"}
    content = _saved(SCENE, "JPEG", exif=exif.tobytes())
    written = passed(content, format_="JPEG")
    assert written.said == ("Adobe RGB -> sRGB",)
    assert b"R03" not in written.content
    assert passed(written.content).said == ()
    kept = passed(content, Keeping(profile="keep"), "JPEG")
    assert image_of(kept.content).info["icc_profile"] == made_profile(*ADOBE_RGB)
    assert image_of(kept.content).getexif().get_ifd(Photo)[Base.ColorSpace] == 65535


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" tiff:ImageWidth="40"'
    b' photoshop:ICCProfile="Display P3" dc:title="kept"><exif:PixelXDimension>40</exif:PixelXDimension>'
    b"<xmp:Thumbnails><rdf:Alt/></xmp:Thumbnails></rdf:Description></x:xmpmeta>"
)


def _with_xmp(given: str) -> bytes:
    if given == "PNG":
        said = PngImagePlugin.PngInfo()
        said.add_itxt("XML:com.adobe.xmp", XMP.decode())
        return _saved(SCENE, pnginfo=said)
    if given == "TIFF":
        tags: Any = {274: (SHORT, [6]), 700: (7, list(XMP))}
        return made_tiff(SCENE, 2, tags=tags)
    return _saved(SCENE, given, xmp=XMP)


@pytest.mark.parametrize("format_", KINDS)
@pytest.mark.parametrize("given", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_xmp_is_kept_and_says_what_is_true_of_the_output(given: str, format_: str) -> None:
    written = passed(_with_xmp(given), format_=format_)
    image = image_of(written.content)
    assert image.size == (24, 40), "turned as XMP says, because EXIF says nothing"
    xmp = image.info["xmp"]
    assert b'tiff:Orientation="1"' in xmp
    assert b'tiff:ImageWidth="24"' in xmp
    assert b"<exif:PixelXDimension>24</exif:PixelXDimension>" in xmp
    assert b'photoshop:ICCProfile="sRGB IEC61966-2.1"' in xmp
    assert b'dc:title="kept"' in xmp
    assert b"Thumbnails" not in xmp
    assert read(written.content).pixels.shape == (40, 24, 3)
    assert written.said == ()


def test_xmp_of_a_gain_map_is_left_out() -> None:
    xmp = b'<x:xmpmeta><rdf:Description hdrgm:Version="1.0"/></x:xmpmeta>'
    written = passed(_saved(SCENE, "JPEG", xmp=xmp))
    assert "xmp" not in image_of(written.content).info
    assert written.said == ("its XMP, of several pictures or no text, left out",)


@pytest.mark.parametrize("format_", KINDS)
def test_a_thumbnail_of_the_input_is_left_out(format_: str) -> None:
    exif = image_of(_saved(SCENE, "JPEG", exif=camera_exif())).getexif()
    thumbnail = _saved(SCENE[:8, :8], "JPEG", comment=b"old thumbnail")
    exif._ifds[ExifTags.IFD.IFD1] = {513: 0, 514: len(thumbnail)}
    content = _saved(SCENE, "JPEG", exif=exif.tobytes() + thumbnail)
    assert b"old thumbnail" in content
    assert b"old thumbnail" not in passed(content, format_=format_).content


def test_notes_of_a_maker_stay_where_they_were() -> None:
    """Makers count places from the beginning of the EXIF."""
    exif = camera_exif()
    content = _saved(SCENE, "JPEG", exif=exif)
    written = passed(content, format_="JPEG").content
    before, after = (one[one.index(b"Exif\0\0") + 6 :].index(NOTE) for one in (content, written))
    assert before == after


@pytest.mark.parametrize(
    "exif", [b"no exif", b"II*\0", b"MM\0*\0\0\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + bytes(40)]
)
def test_a_damaged_exif_harms_nothing(exif: bytes) -> None:
    written = passed(_saved(SCENE, "JPEG", exif=b"Exif\0\0" + exif), format_="PNG")
    assert image_of(written.content).size == (40, 24)
    assert written.said in (("its EXIF, damaged, left out",), ())


def test_an_exif_too_large_for_a_jpeg_loses_its_notes_and_says_so() -> None:
    exif = Image.Exif()
    exif[Base.Model] = "Model 5"
    exif.get_ifd(Photo)[Base.MakerNote] = bytes(70_000)
    content = _saved(SCENE, "PNG", exif=exif.tobytes())
    written = passed(content, format_="JPEG")
    assert written.said == ("the notes of the camera's maker, too large for a JPEG, left out",)
    assert image_of(written.content).getexif()[Base.Model] == "Model 5"


def test_what_programs_say_of_the_pixels_as_stored_is_left_out() -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, SCENE[..., 0], metadata={"axes": "YX"}, resolution=(300, 300))
    written = passed(buffer.getvalue(), format_="TIFF")
    with tifffile.TiffFile(io.BytesIO(written.content)) as file:
        assert file.series[0].shape == (24, 40, 3)
        assert 270 not in file.pages.first.tags
    assert image_of(written.content).info["dpi"] == pytest.approx((300, 300))


@pytest.mark.parametrize("bigtiff", [False, True])
def test_exif_of_a_tiff_of_any_size_is_kept(bigtiff: bool) -> None:
    buffer = io.BytesIO()
    tags: Any = [(272, 2, 0, "Model 5", True), (315, 2, 0, "A. Person", True)]
    tifffile.imwrite(buffer, SCENE, bigtiff=bigtiff, extratags=tags, metadata=None)
    image = image_of(passed(buffer.getvalue(), format_="JPEG").content)
    assert image.getexif()[Base.Artist] == "A. Person"


def _bomb() -> bytes:
    """4096 fields that all stand for the same bytes."""
    fields = b"".join(
        struct.pack("<HHII", 40_000 + n, 7, 2**20, 8 + 2 + 12 * 4096 + 4) for n in range(4096)
    )
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 4096) + fields + bytes(4) + bytes(2**20)


def test_an_exif_of_few_bytes_that_claims_many_stays_small() -> None:
    content = made_png(SCENE, RGB, 8, (b"eXIf", _bomb()))
    assert len(passed(content).content) < 2 * len(content)


@given(st.integers(0, 10**6), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255))))
def test_any_damage_to_an_exif_leaves_a_file_that_is_read(
    cut: int, changes: list[tuple[int, int]]
) -> None:
    exif = bytearray(camera_exif(6))
    for place, value in changes:
        exif[6 + place % (len(exif) - 6)] = value
    content = made_png(SCENE, RGB, 8, (b"eXIf", bytes(exif[6 : 6 + cut % len(exif) or None])))
    for format_ in KINDS:
        written = passed(content, format_=format_)
        assert image_of(written.content).size in ((40, 24), (24, 40))
        image_of(written.content).getexif().get_ifd(Photo)


def test_thumbnails_without_end_are_no_work() -> None:
    xmp = b"<x>" + b"<xmp:Thumbnails" * 200_000
    assert rewritten(xmp, (1, 1), None, srgb=True) == xmp


def test_what_no_output_carries_is_said() -> None:
    said = PngImagePlugin.PngInfo()
    said.add_text("Author", "A. Person")
    assert passed(_saved(SCENE, pnginfo=said)).said == ("its texts left out",)
    assert passed(_saved(SCENE, "JPEG", comment=b"mine")).said == ("its comment left out",)
    quiet = passed(_saved(SCENE, "JPEG", comment=b"mine"), Keeping(metadata="none"))
    assert quiet.said == ()
    frames = [Image.fromarray(scene(n, 24, 40)) for n in range(2)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert passed(buffer.getvalue()).said == ("only the first of its pictures is read",)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.stack([SCENE, SCENE]), photometric="rgb", metadata=None)
    assert passed(buffer.getvalue()).said == ("only the first of its pictures is read",)
    buffer = io.BytesIO()
    frames[0].save(buffer, "TIFF", compression="jpeg", save_all=True, append_images=frames[1:])
    assert passed(buffer.getvalue()).said == ("only the first of its pictures is read",)
    tags: Any = {33723: (7, [28, 2, 0, 0, 0])}
    assert passed(made_tiff(SCENE, 2, tags=tags)).said == ("its IPTC left out",)


def test_a_profile_of_tables_is_kept_if_there_is_a_way_back() -> None:
    there = {b"A2B0": table_of(3)}
    way = profile_of_tables("one way", b"RGB ", 3)
    written = passed(_saved(SCENE, icc_profile=way), Keeping(profile="keep"))
    (said,) = written.said
    assert said == "one way -> sRGB, as colours can be converted from its profile but not back"
    assert "icc_profile" not in image_of(written.content).info
    back = profile_with("and back", b"RGB ", there | {b"B2A0": table_of(3)}, b"Lab ")
    written = passed(_saved(SCENE, icc_profile=back), Keeping(profile="keep"))
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


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"depth": 12}, "depth must be one of 8, 16, input, got 12"),
        ({"depth": "16"}, "depth must be one of 8, 16, input, got '16'"),
        ({"profile": "keep it"}, "profile must be one of srgb, keep, got 'keep it'"),
        ({"metadata": None}, "metadata must be one of all, anonymous, none, got None"),
    ],
)
def test_what_cannot_be_kept_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as refused:
        Keeping(**wrong)
    assert str(refused.value) == said


def test_what_cannot_be_written_is_refused() -> None:
    source = read(_saved(SCENE))
    with pytest.raises(UserError, match="'GIF' is no format that is written; one of JPEG, PNG"):
        encoded(source.pixels, source.carried, Keeping(), "GIF")
    with pytest.raises(UserError, match="pixels of float64 were given; a file holds uint8"):
        encoded(source.pixels / 255, source.carried, Keeping(), "PNG")
    wide = np.zeros((1, 70_000, 3), np.uint8)
    source = read(_saved(wide), format_="JPEG")
    with pytest.raises(UserError, match="cannot be written as JPEG: "):
        encoded(source.pixels, source.carried, Keeping(), "JPEG")


@pytest.mark.parametrize("depth", [8, 16])
def test_restored_pixels_of_another_depth_become_those_of_the_output(depth: Any) -> None:
    keeping = Keeping(depth=depth, profile="keep")
    source = read(_saved(SCENE, icc_profile=P3), keeping)
    eight = SCENE if depth == 8 else SCENE.astype(np.uint16) * 257
    other = source.pixels.astype(np.uint16) * 257 if depth == 8 else eight_bits(source.pixels)
    written = encoded(other, source.carried, keeping, "PNG")
    found = samples_of_png(written.content).astype(int)
    assert np.abs(found - eight).max() <= (0 if depth == 8 else 600)
