"""The coupled baseline with two networks, for I_res and eps: it has as many weights as DRDD."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from drdd.methods import coupled
from drdd.nets.families import NetworkConfig, network_config


class Implementation(coupled.Implementation):
    stages = {"residual": ("residual", "noise")}  # noqa: RUF012

    def networks(self, stage: str, settings: Mapping[str, Any]) -> dict[str, NetworkConfig]:
        """(I_t, I_in) -> I_res, and (I_t, I_in) -> eps."""
        noise = network_config(in_channels=6, **settings)
        return {"residual": noise.for_restoring(), "noise": noise}

    def join(self, nets: Mapping[str, nn.Module]) -> nn.Module:
        return coupled.TwoNetworks(**nets)
