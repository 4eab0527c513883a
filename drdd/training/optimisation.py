"""The optimiser step: learning rate, clipping, EMA. A non-finite gradient changes nothing."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from drdd.params import TrainStage


def make_optimizer(net: nn.Module, settings: TrainStage) -> torch.optim.Optimizer:
    """PyTorch's fused optimiser of the settings."""
    of: dict[str, Any] = {
        "lr": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "fused": True,
    }
    first, second = settings.betas
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=first, **of)
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, betas=(first, second), **of)


def learning_rate_factor(schedule: str, step: float, steps: int, warmup: float) -> float:
    """Linear warm-up over `warmup` of the steps, then "cosine" or "linear" down to zero, or "constant"."""
    rise = max(1, round(warmup * steps))
    if step < rise:
        return min(1.0, (step + 1) / rise)
    gone = (step - rise) / max(1, steps - rise)
    if schedule == "constant":
        return 1.0
    return 1 - gone if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * gone))


def descend(
    optimizer: torch.optim.Optimizer,
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    clip: float,
    loss: Tensor,
) -> Tensor:
    """One step on gradients that are the same on every worker; returns their norm before clipping.

    The optimiser does nothing when the norm or `loss` is not finite. The device is not waited for: the flag
    is passed to the fused kernel as a tensor, as torch.amp's gradient scaler does.
    """
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    norm = nn.utils.clip_grad_norm_(parameters, clip, foreach=True)
    finite = torch.isfinite(norm) & torch.isfinite(loss)
    optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
    optimizer.step()
    return norm


@torch.no_grad()
def update_ema(ema: dict[str, Tensor], net: nn.Module, decay: float, step: int) -> None:
    """ema <- d * ema + (1 - d) * net; d rises from 0.1, so that short runs forget their initial weights."""
    decay = min(decay, (1 + step) / (10 + step))
    live = net.state_dict()
    torch._foreach_lerp_(list(ema.values()), [live[name] for name in ema], 1 - decay)


def computes_in_bf16(device: torch.device) -> bool:
    """Whether the device has bf16 instructions. Without them, bf16 is slower than float32."""
    features = torch.cpu.get_capabilities()
    return device.type == "cuda" or bool(features.get("avx512_bf16") or features.get("amx_bf16"))
