"""A compact UNet for CPUs and small data, without norms, on pixel-unshuffled images.

Folding 2 x 2 pixels into channels quarters the cost of the highest resolution, which is where a CPU
spends most of a UNet's time. Without norms a pixel depends on its surroundings alone, so tiles of a picture
equal the whole; what must be known of the whole picture comes in by its context.
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
    restores: the network predicts I_res of a degraded picture whose context it gets; with six input
        channels, it sees another image before the degraded picture, which is the last three.
    """

    family = "compact"
    channels: Annotated[tuple[Width, ...], Field(min_length=1, max_length=6)] = (48, 96, 160)
    blocks: Annotated[int, Field(ge=1, le=8)] = 1
    restores: bool = False

    @property
    def factor(self) -> int:
        return 2 ** len(self.channels)

    @property
    def context(self) -> bool:
        return self.restores

    def network(self) -> "type[CompactUNet]":
        from drdd.nets.compact_unet import CompactUNet

        return CompactUNet

    def for_restoring(self) -> Self:
        return replace(self, restores=True)
