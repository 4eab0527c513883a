"""Orientation, EXIF, XMP and resolution of an input are in the output, as other programs read them."""

import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, PngImagePlugin

from drdd.formats.carried import Keeping
from drdd.formats.exif import Metadata
from drdd.formats.writing import encoded
from drdd.formats.xmp import rewritten
from drdd.pictures.colours import TURNS
from tests.corpora import scene
from tests.formats.samples import (
    KINDS,
    NOTE,
    P3,
    SCENE,
    Base,
    Gps,
    Photo,
    assert_close,
    camera_exif,
    image_of,
    passed,
    read,
    saved,
)
from tests.pictures.pngs import RGB, made_png
from tests.pictures.tiffs import RATIONAL, SHORT, made_tiff


@pytest.mark.parametrize("format_", KINDS)
@pytest.mark.parametrize("given", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied_once(given: str, orientation: int, format_: str) -> None:
    content = saved(SCENE, given, exif=camera_exif(orientation))
    turn = TURNS.get(orientation)
    stored = image_of(content).convert("RGB") if given != "TIFF" else Image.fromarray(SCENE)
    upright = np.asarray(stored.transpose(turn) if turn is not None else stored)
    written = passed(content, format_=format_)
    assert_close(written.content, upright, format_)
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
    content = saved(SCENE, given, exif=camera_exif(6))
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
    content = saved(SCENE, given, exif=camera_exif(6), **more)
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
    content = saved(SCENE, given, dpi=(300, 150))
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


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" tiff:ImageWidth="40"'
    b' photoshop:ICCProfile="Display P3" dc:title="kept"><exif:PixelXDimension>40</exif:PixelXDimension>'
    b"<xmp:Thumbnails><rdf:Alt/></xmp:Thumbnails></rdf:Description></x:xmpmeta>"
)


def _with_xmp(given: str) -> bytes:
    if given == "PNG":
        said = PngImagePlugin.PngInfo()
        said.add_itxt("XML:com.adobe.xmp", XMP.decode())
        return saved(SCENE, pnginfo=said)
    if given == "TIFF":
        tags: Any = {274: (SHORT, [6]), 700: (7, list(XMP))}
        return made_tiff(SCENE, 2, tags=tags)
    return saved(SCENE, given, xmp=XMP)


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
    written = passed(saved(SCENE, "JPEG", xmp=xmp))
    assert "xmp" not in image_of(written.content).info
    assert written.said == ("its XMP, of several pictures or no text, left out",)


@pytest.mark.parametrize("format_", KINDS)
def test_a_thumbnail_of_the_input_is_left_out(format_: str) -> None:
    exif = image_of(saved(SCENE, "JPEG", exif=camera_exif())).getexif()
    thumbnail = saved(SCENE[:8, :8], "JPEG", comment=b"old thumbnail")
    exif._ifds[ExifTags.IFD.IFD1] = {513: 0, 514: len(thumbnail)}
    content = saved(SCENE, "JPEG", exif=exif.tobytes() + thumbnail)
    assert b"old thumbnail" in content
    assert b"old thumbnail" not in passed(content, format_=format_).content


def test_notes_of_a_maker_stay_where_they_were() -> None:
    """Makers count places from the beginning of the EXIF."""
    exif = camera_exif()
    content = saved(SCENE, "JPEG", exif=exif)
    written = passed(content, format_="JPEG").content
    before, after = (one[one.index(b"Exif\0\0") + 6 :].index(NOTE) for one in (content, written))
    assert before == after


@pytest.mark.parametrize(
    "exif", [b"no exif", b"II*\0", b"MM\0*\0\0\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + bytes(40)]
)
def test_a_damaged_exif_harms_nothing(exif: bytes) -> None:
    written = passed(saved(SCENE, "JPEG", exif=b"Exif\0\0" + exif), format_="PNG")
    assert image_of(written.content).size == (40, 24)
    fields = "its 3 EXIF fields, damaged or of unknown kinds, left out"
    assert written.said in (("its EXIF, damaged, left out",), (fields,), ())


def test_an_exif_too_large_for_a_jpeg_loses_its_notes_and_says_so() -> None:
    exif = Image.Exif()
    exif[Base.Model] = "Model 5"
    exif.get_ifd(Photo)[Base.MakerNote] = bytes(70_000)
    content = saved(SCENE, "PNG", exif=exif.tobytes())
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


@settings(deadline=None, max_examples=60)
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


def _with_segment(jpeg: bytes, marker: int, data: bytes) -> bytes:
    return jpeg[:2] + bytes([0xFF, marker]) + (len(data) + 2).to_bytes(2, "big") + data + jpeg[2:]


def _density(jpeg: bytes, unit: int, across: int, down: int) -> bytes:
    """With another density in its JFIF header."""
    at = jpeg.index(b"JFIF\0") + 7
    return jpeg[:at] + struct.pack(">BHH", unit, across, down) + jpeg[at + 5 :]


@pytest.mark.parametrize("format_", KINDS)
@pytest.mark.parametrize("numbers", [{}, {Base.XResolution: 1, Base.YResolution: 1, 296: 1}])
def test_a_resolution_that_is_not_stated_is_not_made_up(
    numbers: dict[int, int], format_: str
) -> None:
    exif = Image.Exif()
    exif[Base.Make] = "Maker"
    for tag, value in numbers.items():
        exif[tag] = value
    content = _density(saved(SCENE, "JPEG", exif=exif), 0, 1, 1)
    image = image_of(passed(content, format_=format_).content)
    assert image.getexif().get(Base.XResolution) in (None, *numbers.values())
    assert image.getexif().get(Base.ResolutionUnit) == numbers.get(296)
    if format_ == "PNG":
        assert "dpi" not in image.info
    if format_ == "JPEG":
        assert image.info["jfif_unit"] == 0


def test_a_density_in_centimetres_is_exact() -> None:
    image = image_of(passed(_density(saved(SCENE, "JPEG"), 2, 100, 50)).content)
    assert image.info["dpi"] == pytest.approx((254, 127), rel=1e-3)


def test_the_shape_of_pixels_is_said_to_be_left_out() -> None:
    said = ("its pixels' shape, not square, left out",)
    assert passed(_density(saved(SCENE, "JPEG"), 0, 2, 1)).said == said
    shape = (b"pHYs", struct.pack(">IIB", 2, 1, 0))
    assert passed(made_png(SCENE, RGB, 8, shape)).said == said


@pytest.mark.parametrize("format_", KINDS)
def test_where_the_subject_is_is_left_out_of_a_turned_picture_and_said(format_: str) -> None:
    for orientation, kept in ((1, True), (6, False)):
        exif = Image.Exif()
        exif[Base.Orientation] = orientation
        exif.get_ifd(Photo)[Base.SubjectLocation] = (20, 10)
        written = passed(saved(SCENE, "JPEG", exif=exif), format_=format_)
        found = image_of(written.content).getexif().get_ifd(Photo)
        assert (Base.SubjectLocation in found) == kept
        assert written.said == (() if kept else ("where its subject is left out",))


@pytest.mark.parametrize("prefix", [b"tiff", b"t"])
@pytest.mark.parametrize("attribute", [True, False])
def test_an_orientation_in_xmp_is_found_by_its_name_space(prefix: bytes, attribute: bool) -> None:
    space = b' xmlns:%s="http://ns.adobe.com/tiff/1.0/"' % prefix
    own = b' %s:Orientation="6"' % prefix if attribute else b""
    inner = b"" if attribute else b"<%s:Orientation%s>6</%s:Orientation>" % (prefix, space, prefix)
    xmp = b"<x%s%s>%s</x>" % (space if attribute else b"", own, inner)
    found = rewritten(xmp, (1, 1), None, srgb=True)
    assert b"6" not in found
    assert found == xmp.replace(b'"6"', b'"1"').replace(b">6<", b">1<")


@pytest.mark.parametrize(
    "word", [b"GDepth:Format", b"GImage:Mime", b"GCamera:MotionPhoto", b"Container:Directory"]
)
def test_what_describes_another_picture_or_a_film_is_left_out_and_said(word: bytes) -> None:
    written = passed(saved(SCENE, "JPEG", xmp=b"<x:xmpmeta %s='1'/>" % word))
    assert word not in written.content
    assert written.said == ("its XMP, of several pictures or no text, left out",)


def test_places_in_xmp_are_left_out_of_a_turned_picture_and_said() -> None:
    xmp = b"<x:xmpmeta><mwg-rs:Area stArea:x='0.2'/></x:xmpmeta>"
    assert passed(saved(SCENE, "JPEG", xmp=xmp)).said == ()
    turned = passed(saved(SCENE, "JPEG", xmp=xmp, exif=camera_exif(6)))
    assert b"mwg-rs" not in turned.content
    assert turned.said == ("its XMP, with places in the picture before it was turned, left out",)


def test_a_field_of_utf8_is_kept_and_fields_that_cannot_be_read_are_counted() -> None:
    name = "René".encode() + b"\0"
    rows = [
        (271, 2, 6, b"Maker\0"),
        (315, 129, len(name), name),
        (33432, 2, 50, b""),
        (700, 99, 1, b"x"),
    ]
    data, entries = b"", b""
    start = 8 + 2 + 12 * len(rows) + 4
    for tag, kind, count, value in rows:
        place = start + len(data)
        entries += struct.pack("<HHI", tag, kind, count)
        entries += value.ljust(4, b"\0") if 0 < len(value) <= 4 else struct.pack("<I", place)
        data += value
    exif = b"II*\0\x08\0\0\0" + struct.pack("<H", len(rows)) + entries + bytes(4) + data
    written = passed(made_png(SCENE, RGB, 8, (b"eXIf", exif)))
    assert name in written.content
    assert image_of(written.content).getexif()[Base.Make] == "Maker"
    assert written.said == ("its 2 EXIF fields, damaged or of unknown kinds, left out",)


def test_data_of_other_programs_and_further_channels_are_said_to_be_left_out() -> None:
    jpeg = saved(SCENE, "JPEG", exif=camera_exif(), icc_profile=P3, xmp=b"<x/>")
    assert passed(jpeg, Keeping(profile="keep"), "JPEG").said == ()
    for marker, data in ((0xEB, b"JP\0\1jumb"), (0xE1, b"FLIR\0"), (0xE4, b"x")):
        content = _with_segment(saved(SCENE, "JPEG"), marker, data)
        said = f"its data of other programs (APP{marker - 0xE0}) left out"
        assert passed(content).said == (said,)
    more = np.dstack([SCENE, SCENE[..., :1]])
    tags: Any = {338: (SHORT, [0])}
    assert passed(made_tiff(more, 2, tags=tags)).said == ("its further channels left out",)
    tags = {338: (SHORT, [2])}
    assert passed(made_tiff(more, 2, tags=tags)).said == ()


def test_thumbnails_without_end_are_no_work() -> None:
    xmp = b"<x>" + b"<xmp:Thumbnails" * 200_000
    assert rewritten(xmp, (1, 1), None, srgb=True) == xmp


def test_what_no_output_carries_is_said() -> None:
    said = PngImagePlugin.PngInfo()
    said.add_text("Author", "A. Person")
    assert passed(saved(SCENE, pnginfo=said)).said == ("its texts left out",)
    assert passed(saved(SCENE, "JPEG", comment=b"mine")).said == ("its comment left out",)
    quiet = passed(saved(SCENE, "JPEG", comment=b"mine"), Keeping(metadata="none"))
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
    tags = {34735: (3, [1, 1, 0, 0])}
    assert passed(made_tiff(SCENE, 2, tags=tags)).said == ("its place on a map (GeoTIFF) left out",)
    jpeg = saved(SCENE, "JPEG")
    more = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + bytes(8) + b"<x/>"
    segment = b"\xff\xe1" + (len(more) + 2).to_bytes(2, "big") + more
    assert passed(jpeg[:2] + segment + jpeg[2:]).said == ("its long XMP left out",)


@pytest.mark.parametrize("format_", KINDS)
@pytest.mark.parametrize(
    ("name", "said"),
    [("XML:com.adobe.xmp", "long XMP"), ("Raw profile type exif", "long EXIF"), ("Note", "texts")],
)
def test_a_text_that_is_too_long_to_be_inflated_is_said(name: str, said: str, format_: str) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt(name, "<x>" * 700_000, zip=True)
    content = saved(SCENE, pnginfo=texts)
    assert passed(content, format_=format_).said == (f"its {said} left out",)
    assert passed(content, Keeping(metadata="none"), format_).said == ()
