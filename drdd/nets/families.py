"""The families of networks, and one way to name and build them."""

from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from drdd.nets.adm import AdmConfig, AdmUNet
from drdd.nets.compact import CompactConfig, CompactUNet
from drdd.nets.rddm import RddmConfig, RddmUNet, standardised

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


def described(config: NetworkConfig) -> dict[str, Any]:
    """Plain settings, from which `network_config` makes the same configuration."""
    return {"family": family_of(config)} | asdict(config)


def build(config: NetworkConfig) -> nn.Module:
    """A freshly initialised network from torch's global generator."""
    _, network = FAMILIES[family_of(config)]
    return network(config)


def training_format(net: nn.Module, device: torch.device, bf16: bool) -> torch.memory_format:
    """The memory format in which `net` trains fastest: channels_last, with one exception.

    In float32 on a CPU the weight gradients of maps as wide as the paper's networks have are several
    times slower in it (benchmarks/model.py).
    """
    wide = any(isinstance(module, RddmUNet | AdmUNet) for module in net.modules())
    slower = wide and device.type == "cpu" and not bf16
    return torch.contiguous_format if slower else torch.channels_last


def for_inference(net: nn.Module) -> nn.Module:
    """`net` in evaluation mode, as fast as it is without a change of its function."""
    net = standardised(net) if isinstance(net, RddmUNet) else net
    return net.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
