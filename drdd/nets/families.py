"""The families of networks, and one way to name and build them."""

from typing import Any

from torch import nn

from drdd.nets.adm import AdmConfig, AdmUNet
from drdd.nets.compact import CompactConfig, CompactUNet
from drdd.nets.rddm import RddmConfig, RddmUNet

NetworkConfig = CompactConfig | RddmConfig | AdmConfig
FAMILIES: dict[str, tuple[type[NetworkConfig], type[nn.Module]]] = {
    "compact": (CompactConfig, CompactUNet),
    "rddm": (RddmConfig, RddmUNet),
    "adm": (AdmConfig, AdmUNet),
}


def network_config(
    family: str, in_channels: int, out_channels: int = 3, **fields: Any
) -> NetworkConfig:
    """From plain settings, such as family "compact" with channels [48, 96]."""
    config, _ = FAMILIES[family]
    plain: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()
    }
    return config(in_channels=in_channels, out_channels=out_channels, **plain)


def family_of(config: NetworkConfig) -> str:
    return next(name for name, (kind, _) in FAMILIES.items() if isinstance(config, kind))


def build(config: NetworkConfig) -> nn.Module:
    """A freshly initialised network from torch's global generator."""
    _, network = FAMILIES[family_of(config)]
    return network(config)
