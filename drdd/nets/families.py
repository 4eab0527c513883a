"""All network families, and the operations on a network of any family."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from drdd.nets import adm, compact, rddm
from drdd.nets.family import (
    FAMILIES,
    SETTINGS,
    NetworkConfig,
    NetworkSettings,
    network_config,
    network_settings,
    read_config,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = [
    "FAMILIES",
    "FILES",
    "SETTINGS",
    "NetworkConfig",
    "NetworkSettings",
    "build",
    "described",
    "for_inference",
    "network_config",
    "network_settings",
    "read_config",
    "training_format",
]

FILES = (adm, compact, rddm)


def described(config: NetworkConfig) -> dict[str, Any]:
    """The configuration as settings, from which `network_config` makes it again."""
    return {"family": config.family} | asdict(config)


def build(config: NetworkConfig) -> "nn.Module":
    """A freshly initialised network from torch's global generator."""
    return config.network()(config)


def training_format(net: "nn.Module", device: "torch.device", bf16: bool) -> "torch.memory_format":
    """The memory format in which `net` trains fastest: channels_last, with one exception.

    The exception: in float32 on a CPU, the weight gradients of maps as wide as those of the paper's
    networks are several times slower in it (benchmarks/model.py).
    """
    import torch

    wide = any(config.wide for module in net.modules() if (config := _config_of(module)))
    slower = wide and device.type == "cpu" and not bf16
    return torch.contiguous_format if slower else torch.channels_last


def for_inference(net: "nn.Module") -> "nn.Module":
    """`net` in evaluation mode, in its fastest form that computes the same function."""
    import torch

    config = _config_of(net)
    net = config.for_inference(net) if config else net
    return net.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _config_of(module: "nn.Module") -> NetworkConfig | None:
    config = getattr(module, "config", None)
    return config if isinstance(config, NetworkConfig) else None
