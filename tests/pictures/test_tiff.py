"""TIFF of every kind of samples: the right pixels, held against tifffile, or the reason why not."""

import io

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, TiffImagePlugin

from drdd.intake.decoding import decode
from drdd.pictures.colours import alpha_of, depth_of, opened, rgb_of
from drdd.pictures.opening import decoding
from drdd.sources.entry import Blob
from tests.pictures.decoded import ANY, Levels, rgb_in
from tests.pictures.tiffs import LONG, RATIONAL, SHORT, Tags, made_tiff


def _random(kind: str, bits: int, count: int = 3, seed: int = 0) -> tuple[Levels, Levels]:
    """(21, 19, count) samples as a file stores them, and the same in [0, 1]."""
    rng = np.random.default_rng(seed)
    if kind == "f":
        stored = rng.random((21, 19, count)).astype(f"f{bits // 8}")
        return stored, stored.astype(np.float64)
    size = 1 if bits <= 8 else 2 if bits <= 16 else 4
    stored = rng.integers(0, 2**bits, (21, 19, count)).astype(f"u{size}")
    return stored, stored / (2**bits - 1)


PHOTOMETRICS: dict[
    str, tuple[int, int, tuple[int, ...], int | None]
] = {  # photometric, samples, extra samples, which one is alpha
    "white is zero": (0, 1, (), None),
    "black is zero": (1, 1, (), None),
    "grey, alpha": (1, 2, (2,), 1),
    "grey, premultiplied": (1, 2, (1,), 1),
    "grey and one more": (1, 2, (0,), None),
    "RGB": (2, 3, (), None),
    "RGB, alpha": (2, 4, (2,), 3),
    "RGB, premultiplied": (2, 4, (1,), 3),
    "RGB and a fourth": (2, 4, (), 3),
    "RGB and one more": (2, 4, (0,), None),
    "RGB, alpha, one more": (2, 5, (2, 0), 3),
}
SAMPLES = [("u", bits) for bits in (1, 2, 4, 6, 8, 10, 12, 14, 16, 32)]
SAMPLES += [("f", bits) for bits in (16, 32, 64)]


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_every_kind_of_samples_is_read_as_it_was_written(data: st.DataObject) -> None:
    photometric, count, extra, alpha = PHOTOMETRICS[
        data.draw(st.sampled_from(sorted(PHOTOMETRICS)))
    ]
    kind, bits = data.draw(st.sampled_from(SAMPLES))
    rows, tile = data.draw(st.sampled_from([(0, None), (5, None), (0, (16, 16))]))
    compression = data.draw(st.sampled_from(["none", "lzw", "deflate", "packbits"]))
    predictors = [1]
    if compression in ("lzw", "deflate"):
        predictors += [2] * (bits in (8, 16, 32, 64)) + [3] * (kind == "f")
    stored, values = _random(kind, bits, count)
    if extra == (1,):
        values[..., :-1] *= values[..., -1:]
        top = 1 if kind == "f" else 2**bits - 1
        stored = (values * top).astype(stored.dtype)
        values = stored.astype(np.float64) / top
    content = made_tiff(
        stored,
        photometric,
        bits=bits,
        compression=compression,
        order=data.draw(st.sampled_from("<>")),
        planar=data.draw(st.booleans()),
        predictor=data.draw(st.sampled_from(predictors)),
        fill_order=data.draw(st.sampled_from([1, 2])),
        rows=rows,
        tile=tile,
        tags={338: (SHORT, extra)} if extra else {},
    )
    _hold_against_tifffile(content, stored)
    with decoding():
        file = opened(content)
        rgb, layer = rgb_of(file, 16) / 65535, alpha_of(file, 16)
    assert depth_of(file) == (16 if bits > 8 else 8)
    close = 1 / 255 if bits < 9 else 1e-4
    colours = values[..., : 3 if photometric == 2 else 1]
    if alpha is not None:
        assert layer is not None
        np.testing.assert_allclose(layer / 65535, values[..., alpha], atol=close)
        rgb = rgb * layer[..., None] / 65535 if extra == (1,) else rgb
    else:
        assert layer is None
    expected = 1 - colours if photometric == 0 else colours
    np.testing.assert_allclose(rgb, np.broadcast_to(expected, rgb.shape), atol=close)
    with decoding():
        assert np.array_equal(rgb_of(file), np.rint(rgb_of(file, 16) / 257))


def _hold_against_tifffile(content: bytes, stored: Levels) -> None:
    """Except by what it reads only with compiled codecs."""
    try:
        read = tifffile.imread(io.BytesIO(content))
    except (ValueError, NotImplementedError) as error:
        if "imagecodecs" in str(error):
            return
        raise
    if read.ndim == 3 and read.shape[0] == stored.shape[2] and read.shape[2] != stored.shape[2]:
        read = np.moveaxis(read, 0, 2)
    assert np.array_equal(read.reshape(stored.shape), stored)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
def test_what_tifffile_writes_is_read(dtype: str, separate: bool, compression: str | None) -> None:
    stored, values = _random("f" if dtype == "float32" else "u", 8 * np.dtype(dtype).itemsize)
    out = io.BytesIO()
    array = np.moveaxis(stored, 2, 0).copy() if separate else stored
    planar = "separate" if separate else "contig"
    tifffile.imwrite(out, array, photometric="rgb", planarconfig=planar, compression=compression)
    np.testing.assert_allclose(rgb_in(out.getvalue(), 16) / 65535, values, atol=1 / 65535)
    pixels = decode(Blob("x.tif", out.getvalue()), ANY)
    np.testing.assert_allclose(pixels, values * 255, atol=0.51)


def test_a_file_beyond_four_gibibytes_is_one_by_its_header_alone() -> None:
    stored, values = _random("u", 16)
    out = io.BytesIO()
    tifffile.imwrite(out, stored, photometric="rgb", bigtiff=True, byteorder=">")
    assert out.getvalue()[:4] == b"MM\0+"
    np.testing.assert_allclose(rgb_in(out.getvalue(), 16) / 65535, values, atol=1e-9)


# --- other colours


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("scale", [1, 256, 257])
def test_a_palette_is_of_sixteen_bits_or_by_mistake_of_eight(bits: int, scale: int) -> None:
    colours = np.random.default_rng(1).integers(0, 256, (2**bits, 3))
    colours[0] = 255
    indices = np.random.default_rng(2).integers(0, 2**bits, (9, 11, 1)).astype(np.uint8)
    for planar in (False, True):
        content = made_tiff(
            indices, 3, bits=bits, planar=planar, tags={320: (SHORT, (colours.T * scale).ravel())}
        )
        assert np.array_equal(rgb_in(content), colours[indices[..., 0]])


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
def test_inks_become_light(bits: int, planar: bool) -> None:
    stored, values = _random("u", bits, 4)
    by_pillow = Image.fromarray(np.rint(values * 255).astype(np.uint8), "CMYK").convert("RGB")
    content = made_tiff(stored, 5, planar=planar)
    np.testing.assert_allclose(rgb_in(content), np.asarray(by_pillow), atol=1)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("photometric", [8, 9])
def test_lab_is_what_a_colour_library_makes_of_it(photometric: int, bits: int) -> None:
    rng = np.random.default_rng(3)
    pixels = rng.integers(80, 180, (16, 16, 3), dtype=np.uint8)  # beyond, its tables are too coarse
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(Image.fromarray(pixels), srgb, lab, outputMode="LAB")
    assert image is not None
    back = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    levels = (np.asarray(image) ^ np.array([0, 128, 128])).astype(np.int64)  # zero of a*, b* is 128
    offset = 0 if photometric == 9 else 128
    if bits == 8:
        stored = np.concatenate([levels[..., :1], levels[..., 1:] - offset], axis=2).astype(
            np.uint8
        )
    else:
        white = 255 * 256 if photometric == 9 else 65535
        lightness = np.rint(levels[..., :1] * (white / 255))
        stored = np.concatenate([lightness, (levels[..., 1:] - offset) * 256], axis=2)
        stored = stored.astype(np.int64).astype(np.uint16)
    np.testing.assert_allclose(rgb_in(made_tiff(stored, photometric)), np.asarray(back), atol=2)


@pytest.mark.parametrize("across", [1, 2, 4])
@pytest.mark.parametrize("down", [1, 2, 4])
@pytest.mark.parametrize("rows", [2, 4])
def test_subsampled_colours_are_as_libtiff_reads_them(
    across: int, down: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if down > 2 > across or (across, down) == (2, 4):
        pytest.skip("the specification has no such files")
    units = np.random.default_rng(4).integers(60, 200, (4, 6, across * down + 2)).astype(np.uint8)
    tags: Tags = {256: (LONG, [6 * across]), 257: (LONG, [4 * down]), 258: (SHORT, [8, 8, 8])}
    tags |= {277: (SHORT, [3]), 278: (LONG, [rows * down]), 530: (SHORT, [across, down])}
    content = made_tiff(units, 6, rows=rows, tags=tags)
    monkeypatch.setattr(TiffImagePlugin, "READ_LIBTIFF", True)
    by_libtiff = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_allclose(rgb_in(content), by_libtiff, atol=2)


def test_studio_levels_of_video_are_stretched() -> None:
    stored = np.full((8, 8, 3), 128, np.uint8)
    stored[:4, :, 0], stored[4:, :, 0] = 16, 235
    reference = (RATIONAL, [n for v in (16, 235, 128, 240, 128, 240) for n in (v, 1)])
    content = made_tiff(stored, 6, tags={530: (SHORT, [1, 1]), 532: reference})
    pixels = rgb_in(content)
    assert (pixels[:4] == 0).all()
    assert (pixels[4:] == 255).all()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "1"])
@pytest.mark.parametrize(
    "compression", ["jpeg", "group4", "group3", "tiff_lzw", "tiff_adobe_deflate"]
)
def test_what_pillow_writes_is_read(compression: str, mode: str) -> None:
    if (mode == "1") != compression.startswith("group") and compression in (
        "jpeg",
        "group4",
        "group3",
    ):
        return
    smooth = np.add.outer(np.arange(32) * 4, np.arange(48) * 2).astype(np.uint8)
    image = Image.fromarray(np.stack([smooth, smooth // 2, 255 - smooth], -1)).convert(mode)
    out = io.BytesIO()
    options = {"quality": 95} if compression == "jpeg" else {}
    image.save(out, "TIFF", compression=compression, **options)
    close = 6 if compression == "jpeg" else 0
    np.testing.assert_allclose(
        rgb_in(out.getvalue()).astype(int), np.asarray(image.convert("RGB")), atol=close
    )
