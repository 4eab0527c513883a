"""Read the authors' checkpoints (DRDD_AiO5.pt).

Such a file holds {model, ema, opt0, opt1, step}; the authors sample with `ema`, the averaged weights.
Parts: `res_model.unet.*` (RDDM's UNet) and `noise_model.*` (guided diffusion's, conditioned on I_in), and
buffers of the schedule, which its formulas give.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from drdd.checkpoints.guided import adm_config
from drdd.checkpoints.reading import check_weights, read_checkpoint
from drdd.errors import UserError
from drdd.methods.method import Sampling
from drdd.nets.adm_unet import AdmUNet
from drdd.nets.families import NetworkConfig
from drdd.nets.rddm import RddmConfig
from drdd.nets.rddm_unet import RddmUNet

RESIDUAL, NOISE = "res_model.unet.", "noise_model."
# Theirs -> ours. A level is [block, block, attention, change of size].
_RENAMED = (
    (r"^init_conv\.", "stem."),
    (r"^final_conv\.", "head."),
    (r"^final_res_block\.", "final."),
    (r"^time_mlp\.1\.", "time.0."),
    (r"^time_mlp\.3\.", "time.2."),
    (r"^mid_block([12])\.", r"middle\1."),
    (r"^mid_attn\.fn\.norm\.g$", "middle_attention.norm.gain"),
    (r"^mid_attn\.fn\.fn\.to_qkv\.", "middle_attention.qkv."),
    (r"^mid_attn\.fn\.fn\.to_out\.", "middle_attention.out."),
    (r"^(down|up)s\.(\d+)\.0\.", r"\1.\2.block1."),
    (r"^(down|up)s\.(\d+)\.1\.", r"\1.\2.block2."),
    (r"^(down|up)s\.(\d+)\.2\.fn\.norm\.g$", r"\1.\2.attention.norm.gain"),
    (r"^(down|up)s\.(\d+)\.2\.fn\.fn\.to_qkv\.", r"\1.\2.attention.qkv."),
    (r"^(down|up)s\.(\d+)\.2\.fn\.fn\.to_out\.0\.", r"\1.\2.attention.out."),
    (r"^(down|up)s\.(\d+)\.2\.fn\.fn\.to_out\.1\.g$", r"\1.\2.attention.out_norm.gain"),
    (r"^(down|up)s\.(\d+)\.3\.(1\.)?", r"\1.\2.resample."),
    (r"\.mlp\.1\.", ".embed."),
    (r"\.block([12])\.proj\.", r".conv\1."),
    (r"\.block([12])\.norm\.", r".norm\1."),
    (r"\.res_conv\.", ".skip."),
)


@dataclass(frozen=True)
class Official:
    """The arguments of `save_model` for the networks "residual" and "noise"."""

    weights: dict[str, dict[str, Tensor]]
    configs: dict[str, NetworkConfig]
    sampling: Sampling


def read_official(path: Path, noise_level: float = 1.0, head_channels: int = 64) -> Official:
    """The averaged weights of an official checkpoint; sizes are inferred from the weights.

    noise_level: s, the square root of the authors' `sum_scale`: 1 for DRDD_AiO5.pt. Raises UserError when
    the file holds something else, or not exactly the tensors of the networks.
    """
    tensors = _averaged(path)
    residual = residual_names({k.removeprefix(RESIDUAL): v for k, v in _part(tensors, RESIDUAL)})
    noise = {k.removeprefix(NOISE): v for k, v in _part(tensors, NOISE)}
    if not residual or not noise:
        raise UserError(
            f"{path}: expected the weights {RESIDUAL}* and {NOISE}*, found "
            f"{', '.join(sorted({name.split('.')[0] for name in tensors})[:6]) or 'none'}"
        )
    try:
        residual_config, noise_config = rddm_config(residual), adm_config(noise, head_channels)
        with torch.device("meta"):
            nets = RddmUNet(residual_config), AdmUNet(noise_config)
    except (KeyError, IndexError, ArithmeticError, RuntimeError) as error:
        raise UserError(f"{path}: the sizes cannot be read off the weights: no {error}") from None
    except ValueError as error:
        raise UserError(f"{path}: {error}; set the channels of a head") from None
    check_weights(nets[0], residual, f"{path}: the residual network")
    check_weights(nets[1], noise, f"{path}: the noise network")
    return Official(
        {"residual": residual, "noise": noise},
        {"residual": residual_config, "noise": noise_config},
        Sampling(
            method="drdd",
            steps=1000,
            beta_start=1e-4,
            beta_end=0.02,
            normalise_residual=False,
            noise_level=noise_level,
            residual_steps=2,
            noise_steps=2,
            eta=0.0,
            conditioning="none" if noise_config.in_channels == 3 else "input",
            parameterization="paper",
        ),
    )


def residual_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The residual net's tensors under our names and shapes."""
    named = {}
    for name, tensor in weights.items():
        for theirs, ours in _RENAMED:
            name = re.sub(theirs, ours, name)
        named[name] = tensor.flatten() if name.endswith(".gain") else tensor
    return named


def rddm_config(weights: Mapping[str, Tensor]) -> RddmConfig:
    """The configuration from weights under our names. Raises KeyError for a missing tensor."""
    dim, in_channels = weights["stem.weight"].shape[:2]
    levels = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("down."))
    widths = [weights[f"down.{i}.resample.weight"].shape[0] for i in range(levels)]
    return RddmConfig(
        in_channels=in_channels,
        out_channels=weights["head.weight"].shape[0],
        dim=dim,
        multipliers=tuple(width // dim for width in widths),
    )


def _averaged(path: Path) -> dict[str, Tensor]:
    content = read_checkpoint(path)
    if not isinstance(content, dict) or not isinstance(content.get("ema"), dict):
        found = (
            ", ".join(map(str, list(content)[:6])) if isinstance(content, dict) else "no mapping"
        )
        raise UserError(
            f"{path}: expected an official checkpoint with model, ema and step, found {found}"
        )
    prefix = "ema_model."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in content["ema"].items()
        if name.startswith(prefix)
    }


def _part(tensors: Mapping[str, Tensor], prefix: str) -> list[tuple[str, Tensor]]:
    return [(name, tensor) for name, tensor in tensors.items() if name.startswith(prefix)]
