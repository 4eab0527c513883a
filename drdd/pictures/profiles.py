"""Colour profiles (ICC): convert to sRGB, unless a profile leaves sRGB's colours as they are.

A profile is judged by what it does to colours, never by its name. One that is damaged, or of another kind
of pixels than the picture's, says nothing that could be used and is ignored, as viewers do; what carries a
picture's colours on says so.
"""

import io
import struct
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Floats = NDArray[np.float64]
Deep = NDArray[np.uint16]

BAND = 2**18  # samples that are converted at a time
KNOWN = 256  # profiles whose judgement is remembered
SAME = 1  # of 255 levels: a short table of sRGB's curve is off by so much
_JUDGED: dict[
    tuple[bytes, str], bool | None
] = {}  # by digest, so that no profile is kept in memory
_SPACES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
# Relative colorimetric keeps colours as they are; perceptual fits what ink can show to what screens can.
INTENTS = {"CMYK": ImageCms.Intent.PERCEPTUAL}
_ERRORS = (ImageCms.PyCMSError, OSError, ValueError, TypeError)

D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
SRGB_PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
D65 = (0.3127, 0.3290)
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), D65, 563 / 256  # primaries, white, gamma


def is_foreign(profile: bytes, mode: str) -> bool:
    """Whether pixels of `mode` (RGB, L or CMYK) with this profile need to be converted to sRGB."""
    return bool(judged(profile, mode))


def judged(profile: bytes, mode: str) -> bool | None:
    """As `is_foreign`; None for a profile that cannot be used for pixels of this mode, and is ignored."""
    space = _SPACES.get(profile[16:20])
    if space != mode and (mode, space) != ("L", "RGB"):
        return None
    key = (sha256(profile).digest(), mode)
    if key not in _JUDGED:
        if len(_JUDGED) >= KNOWN:
            _JUDGED.clear()
        _JUDGED[key] = _changes_colours(profile, mode)
    return _JUDGED[key]


def _changes_colours(profile: bytes, mode: str) -> bool | None:
    probes = _probes(mode)
    converted = _converted(probes, profile)
    if converted is None:
        return None
    if mode == "CMYK":
        return True
    before = np.asarray(probes.convert("RGB"), np.int16)
    return bool(np.abs(np.asarray(converted, np.int16) - before).max() > SAME)


def _probes(mode: str) -> Image.Image:
    """Every level of grey; in RGB, each of the primaries and 9 x 9 x 9 colours too."""
    if mode != "RGB":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None]).convert(mode)
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    ramps = [ramp * np.array(channels, np.uint8) for channels in np.ndindex(2, 2, 2)]
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
    return Image.fromarray(np.concatenate([*ramps, cube])[None])


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The image (RGB, L or CMYK) in sRGB, if the profile is foreign; else None."""
    return _converted(image, profile) if profile and is_foreign(profile, image.mode) else None


def _converted(image: Image.Image, profile: bytes) -> Image.Image | None:
    if profile[16:20] == b"RGB " and image.mode == "L":  # grey is equal red, green and blue
        image = image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        intent = INTENTS.get(image.mode, ImageCms.Intent.RELATIVE_COLORIMETRIC)
        return ImageCms.profileToProfile(image, source, srgb, intent, outputMode="RGB")
    except _ERRORS:
        return None


def deep_to_srgb(values: Deep, profile: bytes) -> Deep:
    """(H, W, 1 or 3) -> (H, W, 3) uint16 in sRGB.

    A profile of curves and primaries is applied with all 16 bits. Of one that has tables, the library
    converts 8 bits: the result has 256 levels.
    """
    mode = "RGB" if values.shape[2] == 3 else "L"
    if not profile or not is_foreign(profile, mode):
        return np.broadcast_to(values, (*values.shape[:2], 3))
    if (to_linear := _to_linear(profile)) is not None:
        return in_bands(lambda band: _encoded(to_linear(band)), values)
    eight = np.squeeze(eight_bits(values), 2) if mode == "L" else eight_bits(values)
    converted = _converted(Image.fromarray(eight), profile)
    assert converted is not None  # it was for the probes
    return np.asarray(converted).astype(np.uint16) * 257


def in_bands(convert: Callable[..., NDArray[Any]], *arrays: NDArray[Any]) -> NDArray[Any]:
    """convert(*arrays), some rows at a time, so that floats are never those of a whole picture."""
    height, rows = len(arrays[0]), max(1, BAND // max(1, arrays[0][:1].size))
    first = convert(*(array[:rows] for array in arrays))
    whole = np.empty((height, *first.shape[1:]), first.dtype)
    whole[:rows] = first
    for top in range(rows, height, rows):
        whole[top : top + rows] = convert(*(array[top : top + rows] for array in arrays))
    return whole


def eight_bits(values: Deep) -> NDArray[np.uint8]:
    """uint16 in [0, 65535] -> uint8 in [0, 255], rounded."""
    return in_bands(lambda band: ((band.astype(np.uint32) + 128) // 257).astype(np.uint8), values)


def lab_to_srgb(lab: Floats) -> Deep:
    """(H, W, 3) CIE L*a*b* of white D50: L in [0, 100] -> (H, W, 3) uint16 in sRGB, clipped."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * D50
    return _encoded(xyz @ np.linalg.inv(matrix(SRGB_PRIMARIES, D65)).T)


def _encoded(linear: Floats) -> Deep:
    """Linear light of sRGB's primaries -> sRGB, IEC 61966-2-1."""
    light = linear.clip(0, 1)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(coded * 65535).astype(np.uint16)


def _to_linear(profile: bytes) -> Callable[[Deep], Floats] | None:
    """(H, W, C) -> (H, W, 3) linear light of sRGB's primaries; for curves and primaries alone."""
    tags = _tags(profile)
    if profile[20:24] != b"XYZ " or any(name in tags for name in (b"A2B0", b"A2B1", b"D2B0")):
        return None
    if profile[16:20] == b"GRAY":
        grey = _curve(tags.get(b"kTRC", b""))
        return None if grey is None else lambda values: np.repeat(grey[values], 3, axis=2)
    if (found := to_linear_rgb(profile)) is None:
        return None
    curves, columns = found

    def convert(values: Deep) -> Floats:
        channels = [values[..., n % values.shape[2]] for n in range(3)]
        light = [curve[v] for curve, v in zip(curves, channels, strict=True)]
        return np.stack(light, -1) @ columns.T

    return convert


def to_linear_rgb(profile: bytes) -> tuple[list[Floats], Floats] | None:
    """Of a profile of RGB that consists of curves and primaries, else None: how it becomes linear.

    Three curves of (65536,), the linear light in [0, 1] of each level; and (3, 3), from that light to the
    linear light of sRGB's primaries.
    """
    tags = _tags(profile)
    if profile[20:24] != b"XYZ " or any(name in tags for name in (b"A2B0", b"A2B1", b"D2B0")):
        return None
    found = [_curve(tags.get(name, b"")) for name in (b"rTRC", b"gTRC", b"bTRC")]
    curves = [curve for curve in found if curve is not None]
    columns = [tags.get(name, b"")[8:20] for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    if len(curves) < 3 or any(len(column) != 12 for column in columns):
        return None
    colorants = np.array([struct.unpack(">3i", column) for column in columns]).T / 65536
    return curves, np.linalg.inv(matrix(SRGB_PRIMARIES, D65)) @ colorants


def _tags(profile: bytes) -> dict[bytes, bytes]:
    tags = {}
    for n in range(min(int.from_bytes(profile[128:132]), 100)):
        name, start, size = struct.unpack(">4sII", profile[132 + 12 * n : 144 + 12 * n])
        tags[name] = profile[start : start + size]
    return tags


# The number of parameters of each kind of parametric curve, ICC.1:2022, table 68.
_PARAMETERS = (1, 3, 4, 5, 7)


def _curve(tag: bytes) -> Floats | None:
    """(65536,): linear light in [0, 1] of every 16-bit level."""
    x = np.linspace(0, 1, 65536)
    if tag[:4] == b"curv" and len(tag) >= 12:
        count = int.from_bytes(tag[8:12])
        points = np.frombuffer(tag[12 : 12 + 2 * count], ">u2")
        if len(points) != count:
            return None
        if count == 0:
            return x
        if count == 1:
            return np.asarray(x ** (float(points[0]) / 256))
        return np.interp(x, np.linspace(0, 1, count), points / 65535)
    kind = int.from_bytes(tag[8:10])
    if tag[:4] != b"para" or kind >= len(_PARAMETERS) or len(tag) < 12 + 4 * _PARAMETERS[kind]:
        return None
    g, *rest = (v / 65536 for v in struct.unpack_from(f">{_PARAMETERS[kind]}i", tag, 12))
    if kind == 0:
        return np.asarray(x**g)
    a, b, c, d, e, f = np.pad(rest, (0, 6 - len(rest))).tolist()
    if a == 0:
        return None
    power = (a * x + b).clip(0) ** g
    if kind == 1:
        return np.where(x >= -b / a, power, 0)
    if kind == 2:
        return np.where(x >= -b / a, power + c, c)
    return np.where(x >= d, power + e, c * x + f)


def matrix(primaries: tuple[tuple[float, float], ...], white: tuple[float, float]) -> Floats:
    """(3, 3): linear RGB of these chromaticities (x, y) -> XYZ adapted to D50 (Bradford)."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    x, y = white
    light = np.array([x / y, 1, (1 - x - y) / y])
    to_xyz = columns * np.linalg.solve(columns, light)
    gain = (BRADFORD @ D50) / (BRADFORD @ light)
    return np.asarray(np.linalg.inv(BRADFORD) @ (gain[:, None] * BRADFORD) @ to_xyz)


def made_profile(
    primaries: tuple[tuple[float, float], ...] = SRGB_PRIMARIES,
    white: tuple[float, float] = D65,
    gamma: float | None = None,
) -> bytes:
    """An ICC profile of these chromaticities; gamma: of the decoding, None for sRGB's curve.

    Raises ValueError for chromaticities that are those of no colour space.
    """
    try:
        colorants = matrix(primaries, white).T
    except (np.linalg.LinAlgError, ZeroDivisionError):
        raise ValueError("its primaries are those of no colour space") from None
    numbers = [*colorants.ravel(), gamma or 1]
    if not np.isfinite(numbers).all() or np.abs(numbers).max() > 100:
        raise ValueError("its primaries are those of no colour space")
    if gamma is None:
        curve = _fixed(b"para", 3 << 16, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    else:
        curve = _fixed(b"para", 0, gamma)
    text = "made".encode("utf-16-be")
    words = b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(text), 28) + text
    tags = {b"desc": words, b"cprt": words, b"wtpt": _fixed(b"XYZ ", None, *D50)}
    for name, colorant in zip((b"r", b"g", b"b"), colorants, strict=True):
        tags[name + b"XYZ"] = _fixed(b"XYZ ", None, *colorant)
        tags[name + b"TRC"] = curve
    start, table, data = 132 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(data), len(content))
        data += content
    size = start + len(data)
    header = struct.pack(">I4xI4s4s4s12x4s", size, 0x04300000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    header = header.ljust(68, b"\0") + struct.pack(">3i", *(round(v * 65536) for v in D50))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def _fixed(kind: bytes, head: int | None, *values: float) -> bytes:
    """A tag of signed numbers with 16 binary places; head: four bytes before them."""
    first = b"" if head is None else struct.pack(">I", head)
    return (
        kind
        + bytes(4)
        + first
        + struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))
    )
