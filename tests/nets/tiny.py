"""Networks and sampling settings so small that a model is made in no time."""

from typing import Any, cast

import torch
from torch import Tensor

from drdd.methods import find
from drdd.methods.method import Sampling
from drdd.nets.compact import CompactConfig
from drdd.nets.compact_unet import CompactUNet

SIZES = {"family": "compact", "channels": [8, 16]}


def sampling(**changes: Any) -> Sampling:
    defaults: dict[str, Any] = {
        "method": "drdd",
        "steps": 1000,
        "beta_start": 1e-4,
        "beta_end": 0.02,
        "normalise_residual": True,
        "noise_level": 0.15,
        "residual_steps": 2,
        "noise_steps": 2,
        "eta": 0.0,
        "conditioning": "none",
        "parameterization": "paper",
    }
    return Sampling(**{**defaults, **changes})


def configs(method: str = "drdd", conditioning: str = "none") -> dict[str, CompactConfig]:
    """The networks of a method, all stages together."""
    chosen = find(method)(sampling(method=method, conditioning=conditioning))
    of_stages = [chosen.networks(stage, SIZES) for stage in chosen.stages]
    return {name: cast(CompactConfig, net) for nets in of_stages for name, net in nets.items()}


def random_weights(config: CompactConfig) -> dict[str, Tensor]:
    """From torch's global generator. A fresh head is all zeros, which would hide mistakes."""
    net = CompactUNet(config)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return net.state_dict()
