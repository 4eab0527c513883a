"""Networks and sampling settings so small that a model is made in no time."""

from typing import Any

import torch
from torch import Tensor

from drdd.diffusion.methods import Sampling
from drdd.nets.compact import CompactConfig
from drdd.nets.compact_unet import CompactUNet


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


def configs(
    method: str = "drdd", networks: int = 2, conditioned: bool = False
) -> dict[str, CompactConfig]:
    """The networks of a method; the coupled rival has one or two."""
    if method == "regression":
        return {"residual": CompactConfig(3, 3, (8, 16))}
    if method == "coupled" and networks == 1:
        return {"residual": CompactConfig(6, 6, (8, 16))}
    noise = 6 if conditioned or method == "coupled" else 3
    residual = CompactConfig(6, 3, (8, 16), difference=method == "drdd")
    return {"residual": residual, "noise": CompactConfig(noise, 3, (8, 16))}


def random_weights(config: CompactConfig) -> dict[str, Tensor]:
    """From torch's global generator. A fresh head is all zeros, which would hide mistakes."""
    net = CompactUNet(config)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return net.state_dict()
