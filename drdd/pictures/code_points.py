"""Code points of colours (ITU-T H.273) that PNG and AVIF may state in place of a profile."""

from drdd.pictures.errors import PictureError
from drdd.pictures.profiles import D65, made_profile

UNSPECIFIED = 2
_PRIMARIES = {
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),  # BT.601, 625 lines
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),  # BT.601, 525 lines
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),  # BT.2020
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # Display P3
}
_SRGB = (1, UNSPECIFIED)
# The curves of video are shown with sRGB's by every viewer of still pictures.
_SRGB_CURVES = (1, UNSPECIFIED, 6, 13, 14, 15)
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_HDR = {16: "PQ", 18: "HLG"}


def profile_of(primaries: int, transfer: int) -> bytes:
    """The ICC profile of these code points, b"" for sRGB. Raises PictureError for those not read."""
    if transfer in _HDR:
        raise PictureError(
            f"high dynamic range ({_HDR[transfer]}) is not read; convert it to standard range"
        )
    if transfer not in (*_SRGB_CURVES, *_GAMMAS):
        raise PictureError(
            f"its transfer curve (code point {transfer}) is not read; convert it to sRGB"
        )
    if primaries not in (*_SRGB, *_PRIMARIES):
        raise PictureError(
            f"its primaries (code point {primaries}) are not read; convert it to sRGB"
        )
    gamma = _GAMMAS.get(transfer)
    if primaries in _SRGB:
        return made_profile(gamma=gamma) if gamma else b""
    return made_profile(_PRIMARIES[primaries], D65, gamma)


def of_avif(content: bytes) -> tuple[int, int] | None:
    """(primaries, transfer) of an AVIF file; None if it states none beside a profile."""
    start, end = 0, len(content)
    for name in (b"meta", b"iprp", b"ipco"):
        found = _box(content, name, start, end)
        if found is None:
            return None
        start, end = found
        start += 4 if name == b"meta" else 0  # its version and flags
    while found := _box(content, b"colr", start, end):
        start, last = found
        if content[start : start + 4] == b"nclx" and last - start >= 10:
            fields = content[start + 4 : start + 8]
            return int.from_bytes(fields[:2]), int.from_bytes(fields[2:])
        start = last
    return None


def _box(content: bytes, name: bytes, start: int, end: int) -> tuple[int, int] | None:
    """Where the content of the first box called `name` begins and ends, from `start` to `end`."""
    while start + 8 <= end:
        size, kind = int.from_bytes(content[start : start + 4]), content[start + 4 : start + 8]
        head = 8
        if size == 1:
            size, head = int.from_bytes(content[start + 8 : start + 16]), 16
        last = end if size == 0 else start + size
        if last < start + head or last > end:
            return None
        if kind == name:
            return start + head, last
        start = last
    return None
