"""Weights and inputs that are a pure function of their name: the same in any implementation."""

import torch
from torch import Tensor, nn

from drdd.diffusion.keyed import keyed_generator


def filled(net: nn.Module) -> nn.Module:
    """Every parameter from the stream keyed by its name, at a scale that keeps activations tame.

    Matrices and kernels: N(0, 1 / fan_in). Vectors called weight, and gains "g": 1 + 0.1 N(0, 1).
    Other vectors: 0.1 N(0, 1).
    """
    fill(dict(net.named_parameters()))
    return net.eval()


@torch.no_grad()
def fill(parameters: dict[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(value_of(name, parameter))


def value_of(name: str, like: Tensor) -> Tensor:
    value = torch.randn(like.shape, generator=keyed_generator("weights", name))
    gain = name.endswith(".g") or (like.ndim == 1 and name.endswith("weight"))
    if gain:
        return 1 + 0.1 * value
    return 0.1 * value if like.ndim == 1 else value / like[0].numel() ** 0.5


def pictures(name: str, *shape: int) -> Tensor:
    """Uniform in [-1, 1]."""
    return torch.rand(shape, generator=keyed_generator("pictures", name)) * 2 - 1


def noise(name: str, *shape: int) -> Tensor:
    """Standard normal."""
    return torch.randn(shape, generator=keyed_generator("noise", name))


def probes(x: Tensor) -> list[float]:
    """48 values spread over a tensor, then its sum and its absolute sum."""
    flat = x.detach().double().flatten()
    index = torch.linspace(0, len(flat) - 1, 48).long()
    return [*flat[index].tolist(), float(flat.sum()), float(flat.abs().sum())]
