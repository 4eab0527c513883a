"""Bounds of requests: their number, and the memory of their bodies and pictures.

A body of 90 bytes may hold a picture of 50 million pixels, so neither the number of requests nor the size
of their bodies bounds the memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from drdd.serving.problems import ProblemError
from drdd.serving.schema import RestoreQuery
from drdd.serving.service import BusyError

TOTAL = 2 * 1024**3
RETRY_AFTER_S = 2.0

# Bytes per pixel. Decoding: the worst measured, 8 bits with alpha that become 16, is 29; and 20 more where
# what sRGB cannot hold is kept.
DECODING, DECODING_BEYOND = 32, 24
# Times the bytes of a pixel: input, output, its levels and its file while it is written; in JSON also in
# base64, twice.
RESTORING, IN_JSON = 6, 4
BEYOND = 28  # what sRGB cannot hold, as it is and while it is added again
WEBP = 28  # of its encoder
# Times the bytes of metadata and profile: as read, written, in a chunk, in the file, while it is joined.
CARRIED = 5
STATE = 12  # a state and its file, in base64 and again in JSON
UNCERTAINTY = 8  # a deviation, the map's file, in base64 and again in JSON
USUAL_STEPS = 2


@dataclass(frozen=True)
class Kind:
    """How a picture is held. channels: 3, or 4 with alpha; bits: of each; beyond: with what sRGB lacks."""

    channels: int = 3
    bits: int = 8
    beyond: bool = False

    @property
    def size(self) -> int:
        """Bytes of a pixel."""
        return self.channels * self.bits // 8


class MemoryBudget:
    """total: bytes that all requests may hold together. Use it in one event loop."""

    def __init__(self, total: int) -> None:
        self._total, self._used = total, 0

    @contextmanager
    def reservation(self) -> Iterator["Reservation"]:
        """The reservation of one request, at first of 0 bytes; it is released at the end of the block."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            reservation.reserve(0)

    def _change(self, before: int, after: int) -> None:
        if after > self._total:
            raise ProblemError(
                413, "the picture and its states need more memory than a request may have; "
                "send a smaller picture, ask for fewer steps or no states, or for depth=8 and profile=srgb"
            )  # fmt: skip
        if after > before and self._used - before + after > self._total:
            raise BusyError(RETRY_AFTER_S)
        self._used += after - before


class Slots:
    """most: requests that may be under way together. Use it in one event loop."""

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """A slot for the length of the block. Raises BusyError when there is none."""
        if self._taken >= self._most:
            raise BusyError(RETRY_AFTER_S)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class Reservation:
    """The memory that one request holds."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget, self._size = budget, 0

    @property
    def size(self) -> int:
        return self._size

    def reserve(self, size: int) -> None:
        """Change the reservation to `size` bytes.

        Raises BusyError when other requests hold too much; ProblemError, 413, when the whole budget is too
        small.
        """
        self._budget._change(self._size, size)
        self._size = size


def memory_budget(max_bytes: int, max_pixels: int) -> MemoryBudget:
    """A budget of TOTAL, or of the needs of the largest picture if they are larger."""
    return MemoryBudget(max(TOTAL, max_bytes + DECODING * max_pixels))


def bytes_decoding(pixels: int, kind: Kind) -> int:
    """Bytes while a picture of so many pixels is decoded."""
    return pixels * (DECODING + (DECODING_BEYOND if kind.beyond else 0))


def bytes_kept(query: RestoreQuery, pixels: int, scale: int = 1, kind: Kind = Kind()) -> int:
    """Bytes from the decoded picture to the response. pixels: of the input; scale: of the output."""
    given = kind.size * pixels if scale > 1 else 0
    return given + bytes_a_pixel(query, kind) * pixels * scale**2


def bytes_carried(query: RestoreQuery, size: int) -> int:
    """Bytes for what a picture carries. size: of its metadata and its profile, as read."""
    return size * (CARRIED + (IN_JSON if query.in_json else 0))


def bytes_a_pixel(query: RestoreQuery, kind: Kind = Kind()) -> int:
    """Bytes per pixel of the output, from the decoded picture to the response."""
    kept = RESTORING * kind.size + (UNCERTAINTY if query.samples > 1 else 0)
    kept += WEBP if query.written == "WEBP" else 0
    kept += (BEYOND if kind.beyond else 0) + (IN_JSON * kind.size if query.in_json else 0)
    if not query.states:
        return kept
    parts = (query.residual_steps or query.steps, query.noise_steps or query.steps)
    states = 2 + sum(part or USUAL_STEPS for part in parts)  # the noised input, the estimate, steps
    return kept + (STATE + (3 if kind.bits == 16 else 0)) * states


def refuse_costly(samples: int, pixels: int, most: int) -> None:
    """Raise ProblemError, 413, for samples that cost more than one picture of `most` pixels may.

    pixels: of the output.
    """
    if samples * pixels > most:
        raise ProblemError(
            413,
            f"{samples} samples of {pixels:,} pixels cost more than the largest picture, of {most:,}; "
            f"ask for {most // pixels} samples at most, or send a smaller picture",
        )
