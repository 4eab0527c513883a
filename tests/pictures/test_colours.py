"""The pixels of a file in sRGB, of 8 and 16 bits; and that training sees what intake has verified."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from drdd.intake.decoding import decode, decode_and_verify
from drdd.pictures.opening import PictureError
from drdd.pictures.pixels import pixels_of
from drdd.sources.entry import Blob
from tests.corpora import encoded
from tests.pictures.decoded import ANY, GREY_55, LINEAR, PICTURE, SMALL, alpha_in, rgb_in, samples
from tests.pictures.pngs import GREY, RGB, RGBA, chunk, made_png
from tests.pictures.test_png import PNGS, SAID
from tests.pictures.tiffs import SHORT, made_tiff


@pytest.mark.parametrize("most", [1, 100, 255, 1000, 4095, 65535])
@pytest.mark.parametrize("magic", ["P2", "P3", "P5", "P6"])
def test_a_ppm_reaches_white_at_its_own_largest_value(magic: str, most: int) -> None:
    stored = np.random.default_rng(most).integers(
        0, most + 1, (7, 9, 3 if magic in ("P3", "P6") else 1)
    )
    if magic in ("P2", "P3"):
        body = b"# numbers\n" + b" ".join(str(v).encode() for v in stored.ravel())
    else:
        body = stored.astype(">u2" if most > 255 else "u1").tobytes()
    content = f"{magic}\n# made\n9 7\n{most}\n".encode() + body
    close = 0.5 if most > 255 else 129
    values = np.broadcast_to(stored / most * 65535, (7, 9, 3))
    np.testing.assert_allclose(rgb_in(content, 16), values, atol=close)


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_a_bmp_of_any_depth_is_read(bits: int) -> None:
    rng = np.random.default_rng(bits)
    levels = rng.integers(0, 32, (4, 8, 3))
    if bits == 16:  # five bits each
        five = levels[..., 0] << 10 | levels[..., 1] << 5 | levels[..., 2]
        data, expected = five.astype("<u2")[::-1].tobytes(), levels * (255 / 31)
    else:
        expected = levels * 8.0
        padding = np.zeros((4, 8, bits // 8 - 3), int)
        data = np.concatenate([expected[..., ::-1], padding], -1)[::-1].astype(np.uint8).tobytes()
    header = struct.pack("<IiiHHIIiiII", 40, 8, 4, 1, bits, 0, len(data), 0, 0, 0, 0)
    content = b"BM" + struct.pack("<IHHI", 54 + len(data), 0, 0, 54) + header + data
    np.testing.assert_allclose(rgb_in(content), expected, atol=1)
    assert alpha_in(content) is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sixteen_bits_are_turned_as_eight_are(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    said = (b"eXIf", exif.tobytes()[6:])
    eight, deep = samples(RGBA, 8), samples(RGBA, 8) * 257
    small = made_png(eight, RGBA, 8, said)
    for content in (
        made_png(deep, RGBA, 16, said),
        made_png(deep, RGBA, 16, after=chunk(*said)),
        made_tiff(deep.astype(np.uint16), 2, tags={274: (SHORT, [orientation]), 338: (SHORT, [2])}),
        made_tiff(eight.astype(np.uint8), 2, tags={274: (SHORT, [orientation]), 338: (SHORT, [2])}),
    ):
        assert np.array_equal(rgb_in(content), rgb_in(small))
        alpha, expected = alpha_in(content), alpha_in(small)
        assert alpha is not None
        assert expected is not None
        assert np.array_equal(alpha, expected)
        assert np.array_equal(decode(Blob("x", content), ANY), decode(Blob("x", small), ANY))


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_refused_by_its_name(transfer: int, name: str) -> None:
    png = made_png(GREY_55, RGB, 8, (b"cICP", bytes([9, transfer, 0, 1])))
    avif = bytearray(encoded(PICTURE, "AVIF"))
    place = avif.index(b"nclx") + 4
    avif[place : place + 4] = struct.pack(">HH", 9, transfer)
    for content in (png, bytes(avif)):
        with pytest.raises(PictureError, match=rf"high dynamic range \({name}\) is not read"):
            decode(Blob("x", content), ANY)


def test_the_code_points_of_an_avif_are_followed() -> None:
    plain = encoded(Image.fromarray(GREY_55), "AVIF", quality=100, subsampling="4:4:4")
    place = plain.index(b"nclx") + 4
    linear = plain[:place] + struct.pack(">HH", 1, 8) + plain[place + 4 :]
    np.testing.assert_allclose(rgb_in(plain), 55, atol=1)
    np.testing.assert_allclose(rgb_in(linear), 128, atol=2)


def test_the_profile_of_a_bmp_is_followed() -> None:
    """Of version 5, at the end of the file."""
    levels = bytes([55]) * 8 * 8 * 3
    head = struct.pack("<IiiHHIIiiII", 124, 8, 8, 1, 24, 0, len(levels), 0, 0, 0, 0) + bytes(16)
    colours = b"DEBM" + bytes(36 + 12) + struct.pack("<4I", 4, 124 + len(levels), len(LINEAR), 0)
    whole = head + colours + levels + LINEAR
    content = b"BM" + struct.pack("<IHHI", 14 + len(whole), 0, 0, 14 + 124) + whole
    assert len(head + colours) == 124
    np.testing.assert_allclose(rgb_in(content), 128, atol=1)
    np.testing.assert_allclose(rgb_in(content.replace(b"DEBM", b"BGRs")), 55)


# --- what is not read says so

UNREAD = {
    "a JPEG of 12 bits": encoded(PICTURE, "JPEG").replace(b"\x00\x11\x08", b"\x00\x11\x0c", 1),
    "PFM is not read": b"PF\n2 2\n-1.0\n" + bytes(48),
    "floating-point pixels": b"Pf\n2 2\n-1.0\n" + bytes(16),
    "PAM is not read": b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 3\nMAXVAL 255\nENDHDR\n" + bytes(12),
}


@pytest.mark.parametrize("reason", sorted(UNREAD))
def test_a_kind_that_is_not_read_says_why(reason: str) -> None:
    with pytest.raises(PictureError, match=reason):
        decode(Blob("x", UNREAD[reason]), ANY)


# --- training reads what was verified


def _mpo() -> bytes:
    return encoded(PICTURE, "MPO", save_all=True, append_images=[SMALL])


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(PICTURE, "MPO", save_all=True, append_images=[SMALL], exif=exif)


BOTH = {"save_all": True, "append_images": [PICTURE.rotate(180)]}
FILES = {
    **{f"PNG {kind} {depth}": made_png(samples(kind, depth), kind, depth) for kind, depth in PNGS},
    **{f"PNG, {said}": made_png(GREY_55, RGB, 8, *chunks) for said, (chunks, _) in SAID.items()},
    **{
        f"{mode}, {format_}": encoded(PICTURE.convert(mode), format_, icc_profile=profile)
        for mode in ("L", "RGB")
        for format_ in ("PNG", "JPEG", "WEBP", "AVIF")
        for profile in (LINEAR,)
    },
    "grey, clear": made_png(samples(GREY, 4), GREY, 4, (b"tRNS", b"\0\3")),
    "CMYK JPEG": encoded(PICTURE.convert("CMYK"), "JPEG"),
    "MPO": _mpo(),
    "MPO, turned": _turned(),
    **{f"{f}, animated": encoded(PICTURE, f, **BOTH) for f in ("PNG", "WEBP", "GIF", "AVIF")},
    "TIFF 16": made_tiff(samples(RGB, 16).astype(np.uint16), 2),
    "TIFF, alpha": made_tiff(samples(RGBA, 8).astype(np.uint8), 2, tags={338: (SHORT, [1])}),
}


@pytest.mark.parametrize("kind", sorted(FILES))
def test_training_sees_the_pixels_that_intake_verified(kind: str) -> None:
    blob = Blob("x", FILES[kind])
    taken = decode_and_verify(blob, ANY)
    assert np.array_equal(pixels_of(taken.content), decode(blob, ANY))


def test_a_phones_jpeg_keeps_its_bytes_and_gives_its_first_picture() -> None:
    content = _mpo()
    assert Image.open(io.BytesIO(content)).format == "MPO"
    assert decode_and_verify(Blob("x", content), ANY).content == content
    assert rgb_in(content).shape == (40, 48, 3)
    assert rgb_in(_turned()).shape == (48, 40, 3)
