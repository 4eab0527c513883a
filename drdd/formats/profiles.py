"""Colours of sRGB in the profile of an input again; and the name of a profile."""

import io
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from drdd.pictures.code_points import profile_of
from drdd.pictures.profiles import ADOBE_RGB, eight_bits, in_bands, made_profile, to_linear_rgb

Levels = NDArray[Any]
_ERRORS = (ImageCms.PyCMSError, OSError, ValueError, TypeError)
ROOTS = 2**18
TINY = np.zeros((1, 1, 3), np.uint8)


def from_srgb(levels: Levels, profile: bytes) -> Levels | None:
    """(H, W, 3) uint8 or uint16 in sRGB -> the same in the profile, clipped; relative colorimetric.

    A profile of curves and primaries is applied with 16 bits; of one with tables, the library converts 8.
    None for a profile to which colours cannot be converted, or of other pixels than RGB.
    """
    if profile[16:20] != b"RGB ":
        return None
    if (convert := _by_curves(profile)) is not None:
        if levels.dtype == np.uint16:
            return in_bands(convert, levels)
        return in_bands(lambda band: eight_bits(convert(band.astype(np.uint16) * 257)), levels)
    eight = levels if levels.dtype == np.uint8 else eight_bits(levels)
    try:
        converted = np.array(
            ImageCms.profileToProfile(
                Image.fromarray(np.ascontiguousarray(eight)),
                ImageCms.createProfile("sRGB"),
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
            )
        )
    except _ERRORS:
        return None
    return converted if levels.dtype == np.uint8 else converted.astype(np.uint16) * 257


def can_be_kept(profile: bytes) -> bool:
    """Whether an output, which is RGB, can have it."""
    try:
        ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except _ERRORS:
        return False
    return from_srgb(TINY, profile) is not None


def _by_curves(profile: bytes) -> Callable[[Levels], NDArray[np.uint16]] | None:
    """The inverse of how its colours become linear, for curves and primaries alone."""
    try:
        found = to_linear_rgb(profile)
        if found is None:
            return None
        curves, columns = found
        back = np.linalg.inv(columns)
    except (struct.error, np.linalg.LinAlgError):  # a damaged one
        return None
    x = np.linspace(0, 1, 65536)
    decode = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    # The levels of light, at roots of it that are so close that none is missed by more than half.
    at = np.linspace(0, 1, ROOTS + 1) ** 2
    levels = [
        np.rint(np.interp(at, np.maximum.accumulate(curve), x) * 65535).astype(np.uint16)
        for curve in curves
    ]

    def convert(band: Levels) -> NDArray[np.uint16]:
        light = decode[band] @ back.T
        roots = np.rint(np.sqrt(light.clip(0, 1)) * ROOTS).astype(np.int32)
        return np.stack([levels[n][roots[..., n]] for n in range(3)], -1)

    return convert


def name_of(profile: bytes) -> str:
    """What people call it, such as "Display P3"."""
    if profile in _known():
        return _known()[profile]
    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except _ERRORS:
        return "a colour profile"
    name = "".join(c if c.isprintable() else " " for c in name).strip()[:60]
    return name if name not in ("", "made") else "colours that the file states"


@lru_cache(1)
def _known() -> dict[bytes, str]:
    """Of those that are made here."""
    named = {profile_of(12, 1): "Display P3", profile_of(9, 1): "BT.2020"}
    return named | {made_profile(*ADOBE_RGB): "Adobe RGB", made_profile(gamma=1): "linear sRGB"}
