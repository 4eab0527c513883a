"""A compact UNet for CPUs and small data: it works on pixel-unshuffled images.

Folding 2 x 2 pixels into channels quarters the cost of the highest resolution, which is where a CPU
spends most of a UNet's time.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field

from drdd.nets.family import NetworkConfig, family

if TYPE_CHECKING:
    from drdd.nets.compact_unet import CompactUNet

Width = Annotated[int, Field(ge=8, multiple_of=8)]


@family
@dataclass(frozen=True)
class CompactConfig(NetworkConfig):
    """channels: width of each level; each level after the first halves the resolution.

    blocks: residual blocks a level, on the way down and again on the way up.
    difference: the input is the condition and the difference of image and condition, so that their common
        part appears once and without the image's noise. The difference branch starts at zero: a new
        network equals, to the bit, one for the condition alone.
    """

    family = "compact"
    channels: Annotated[tuple[Width, ...], Field(min_length=1, max_length=6)] = (48, 96, 160)
    blocks: Annotated[int, Field(ge=1, le=8)] = 1
    difference: bool = False

    @property
    def factor(self) -> int:
        return 2 ** len(self.channels)

    def network(self) -> "type[CompactUNet]":
        from drdd.nets.compact_unet import CompactUNet

        return CompactUNet

    def with_difference(self) -> Self:
        return replace(self, difference=True)
