"""The paper's residual UNet: RDDM's (arXiv 2308.13712), after Ho et al. 2020."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from drdd.nets.family import NetworkConfig, family
from drdd.settings import Count

if TYPE_CHECKING:
    from torch import nn

    from drdd.nets.rddm_unet import RddmUNet


@family
@dataclass(frozen=True)
class RddmConfig(NetworkConfig):
    """in_channels: 6 for (y_t, I_in). Level i has dim * multipliers[i] channels."""

    family = "rddm"
    wide = True
    in_channels: int = 6
    dim: Annotated[int, Field(ge=8, multiple_of=8)] = 64
    multipliers: Annotated[tuple[Count, ...], Field(min_length=1, max_length=7)] = (1, 2, 4, 8)

    @property
    def factor(self) -> int:
        return 2 ** (len(self.multipliers) - 1)

    def network(self) -> "type[RddmUNet]":
        from drdd.nets.rddm_unet import RddmUNet

        return RddmUNet

    def for_inference(self, net: "nn.Module") -> "nn.Module":
        from drdd.nets.rddm_unet import standardised

        return standardised(net)
