"""The paper's noise UNet: guided diffusion's (Dhariwal and Nichol 2021, arXiv 2105.05233).

Its options also cover the UNet of DDPM (Ho et al. 2020) as implemented in diffusers.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from drdd.nets.family import NetworkConfig, family
from drdd.settings import Count

if TYPE_CHECKING:
    from drdd.nets.adm_unet import AdmUNet

Multipliers = Annotated[tuple[Count, ...], Field(min_length=1, max_length=7)]


@family
@dataclass(frozen=True)
class AdmConfig(NetworkConfig):
    """Level i has channels * multipliers[i] channels; each level after the first halves the size.

    attention: the rates of down-sampling at which attention is applied. head_channels: 0 for one
    head. scale_shift: the time embedding scales and shifts after a norm; otherwise it is added before it.
    resblock_updown: residual blocks change the size; otherwise a convolution does, which pads only right
    and below if `asymmetric`. time_shift, sine_first: options of the time embedding.
    """

    family = "adm"
    wide = True
    in_channels: int = 3
    channels: Annotated[int, Field(ge=32, multiple_of=32)] = 128
    multipliers: Multipliers = (1, 1, 2, 2, 4, 4)
    blocks: Annotated[int, Field(ge=1, le=8)] = 2
    attention: Annotated[
        tuple[Count, ...], Field(description="down-sampling rates at which attention is applied")
    ] = (8, 16, 32)
    middle_attention: bool = True
    head_channels: Annotated[int, Field(ge=8)] = 64
    scale_shift: bool = True
    resblock_updown: bool = True
    asymmetric: bool = False
    norm_groups: int = 32
    norm_eps: float = 1e-5
    time_shift: float = 0.0
    sine_first: bool = False

    @property
    def factor(self) -> int:
        return 2 ** (len(self.multipliers) - 1)

    def network(self) -> "type[AdmUNet]":
        from drdd.nets.adm_unet import AdmUNet

        return AdmUNet
