"""What a picture carries beside its colours, and what an output is to keep of it."""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal, get_args

from numpy.typing import NDArray

from drdd.errors import UserError
from drdd.formats.directories import Directories
from drdd.formats.exif import Metadata
from drdd.pictures import files
from drdd.pictures.colours import Bits

Profile = Literal["srgb", "keep"]
Depth = Literal[8, 16, "input"]

FORMATS = files.FORMATS | {".tif": "TIFF", ".tiff": "TIFF"}  # by suffix, as Pillow calls them
DEEP = ("PNG", "TIFF")  # that hold 16 bits
WITH_ALPHA = ("PNG", "TIFF", "WEBP")


_VALUES: dict[str, tuple[str | int, ...]] = {
    "metadata": get_args(Metadata),
    "profile": get_args(Profile),
    "depth": get_args(Depth),
}


@dataclass(frozen=True)
class Keeping:
    """What an output keeps of its input.

    metadata: all of EXIF and XMP; "anonymous": the EXIF tags of which it is known that they identify
    neither a person nor a place nor a single device; or none.
    profile: srgb: colours are converted to sRGB; keep: the output has the input's profile.
    depth: bits a channel; "input": as many as the input has, if the format holds them.

    Raises UserError for another value.
    """

    metadata: Metadata = "all"
    profile: Profile = "srgb"
    depth: Depth = "input"

    def __post_init__(self) -> None:
        for name, values in _VALUES.items():
            if (value := getattr(self, name)) not in values or isinstance(value, bool):
                raise UserError(
                    f"{name} must be one of {', '.join(map(str, values))}, got {value!r}"
                )

    def check(self, format_: str) -> None:
        """Raises UserError for a format that is not written, and a depth that it does not hold."""
        if format_ not in FORMATS.values():
            known = ", ".join(sorted(set(FORMATS.values())))
            raise UserError(f"{format_!r} is no format that is written; one of {known}")
        if self.depth == 16 and format_ not in DEEP:
            raise UserError(
                f"{format_} has 8 bits a channel, not 16", f"write {' or '.join(DEEP)}, or 8 bits"
            )

    def bits(self, stored: Bits, format_: str) -> Bits:
        """Of an output of this format, where the input has `stored`."""
        if format_ not in DEEP:
            return 8
        return stored if self.depth == "input" else self.depth


KEPT = Keeping()  # unless something else is asked for


@dataclass(frozen=True, eq=False)
class Carried:
    """What the file of a picture says beside its pixels.

    size: (width, height), upright. profile: ICC of the output, b"" for sRGB without one; foreign: whether
    that of the input changes colours, which were converted to sRGB. dpi: across and down, upright.
    beyond: (H, W, 3) int32, the levels of the input less those that its colours in sRGB become in the
    profile: what sRGB cannot hold; None where the profile is not kept.
    bits: of a channel of the output. said: what was converted or left out in reading, for people.
    """

    size: tuple[int, int]
    bits: Bits = 8
    exif: Directories | None = None
    xmp: bytes = b""
    profile: bytes = b""
    foreign: bool = False
    dpi: tuple[float, float] | None = None
    beyond: NDArray[Any] | None = None
    said: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Source:
    """A picture that is to be restored. pixels: (H, W, 3), or (H, W, 4) with alpha; uint8 or uint16."""

    pixels: NDArray[Any]
    carried: Carried

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.pixels.shape[:2]
        return height, width


def format_of(path: PurePath) -> str:
    """Pillow's name of the format of `path`'s suffix. Raises UserError when it cannot be written."""
    return files.check_format(path, FORMATS)


@dataclass(frozen=True)
class Written:
    """said: what was converted or left out without a request, for people; () for nothing."""

    content: bytes
    said: tuple[str, ...] = ()
