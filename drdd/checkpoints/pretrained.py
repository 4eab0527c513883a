"""Read a pretrained diffusion model to initialise the noise stage, with an account of every tensor.

A file is a state dict of guided diffusion (unconditional; 3 output channels, or 6, of which the upper 3
are the variance, which DRDD does not use); a folder is a UNet2DModel of diffusers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from drdd.checkpoints.diffusers import read_unet2d
from drdd.checkpoints.guided import adm_config
from drdd.checkpoints.reading import check_weights, read_checkpoint
from drdd.errors import UserError
from drdd.nets.adm import AdmConfig
from drdd.nets.adm_unet import AdmUNet

STEM, HEAD = "input_blocks.0.0.weight", ("out.2.weight", "out.2.bias")


@dataclass(frozen=True)
class AccountRow:
    """What became of some values. what: loaded, skipped (only in the file) or new (only in the net)."""

    what: str
    which: str
    tensors: int
    values: int


@dataclass(frozen=True)
class Pretrained:
    """weights: exactly the tensors of the network of `config`; account: of all values in file and net."""

    config: AdmConfig
    weights: dict[str, Tensor]
    account: tuple[AccountRow, ...]


def read_pretrained(
    path: Path, parameterization: str, in_channels: int = 3, head_channels: int = 64
) -> Pretrained:
    """The weights at `path` for a noise net of 3 output channels and `in_channels` input channels.

    parameterization: of the noise stage; in_channels: 6 for a conditioned net, whose weights of the
    condition are set to 0, so that it first computes what the unconditional net does; head_channels: of
    guided diffusion's attention, which its weights do not reveal. Raises UserError when the file holds
    something else, misses a tensor, has an extra one, or was trained with another parameterization.
    """
    if path.is_dir():
        config, weights, trained_as = read_unet2d(path)
    else:
        weights, trained_as = _state_dict(path), "vp_epsilon"
        config = _guided_config(path, weights, head_channels)
    if parameterization != trained_as and (trained_as or not parameterization.startswith("vp_")):
        raise UserError(
            f"{path} is a VP diffusion that predicts {(trained_as or 'vp_epsilon')[3:]}, but "
            f"train.noise.parameterization is {parameterization}: set it to {trained_as or 'vp_epsilon'}"
        )
    if config.out_channels not in (3, 6):
        raise UserError(
            f"{path}: its output has {config.out_channels} channels, not 3 (the mean) or 6 "
            "(mean and variance)"
        )
    try:
        with torch.device("meta"):
            theirs, ours = AdmUNet(config), AdmUNet(_ours(config, in_channels))
    except (ValueError, RuntimeError, ArithmeticError) as error:
        said = str(error).splitlines()[0][:120]
        raise UserError(f"{path}: {said}; set train.noise.network.head_channels") from None
    check_weights(theirs, weights, f"{path}: the network")
    fitted = _fitted(weights, config, in_channels)
    check_weights(ours, fitted, f"{path}: the noise network")
    return Pretrained(_ours(config, in_channels), fitted, _account(weights, config, in_channels))


def _ours(config: AdmConfig, in_channels: int) -> AdmConfig:
    return replace(config, in_channels=in_channels, out_channels=3)


def _state_dict(path: Path) -> dict[str, Tensor]:
    content = read_checkpoint(path)
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        found = (
            ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        )
        raise UserError(
            f"{path}: expected guided diffusion's state dict, names with tensors, found {found[:120]}"
        )
    return content


def _guided_config(path: Path, weights: Mapping[str, Tensor], head_channels: int) -> AdmConfig:
    try:
        return adm_config(weights, head_channels)
    except (KeyError, IndexError, ValueError, ArithmeticError):
        raise UserError(
            f"{path}: expected guided diffusion's names, such as {STEM}, found "
            f"{', '.join(sorted(weights)[:3]) or 'nothing'}"
        ) from None


def _fitted(
    weights: Mapping[str, Tensor], config: AdmConfig, in_channels: int
) -> dict[str, Tensor]:
    fitted = {name: value.float() for name, value in weights.items()}
    if config.out_channels == 6:
        fitted |= {name: fitted[name][:3].clone() for name in HEAD}
    if in_channels > 3:
        stem = fitted[STEM]
        nothing = stem.new_zeros(stem.shape[0], in_channels - 3, *stem.shape[2:])
        fitted[STEM] = torch.cat([stem, nothing], dim=1)
    return fitted


def _account(
    weights: Mapping[str, Tensor], config: AdmConfig, in_channels: int
) -> tuple[AccountRow, ...]:
    total = sum(value.numel() for value in weights.values())
    half = sum(weights[name].numel() // 2 for name in HEAD) if config.out_channels == 6 else 0
    rows = [
        AccountRow("loaded", "all else" if half else "every tensor", len(weights), total - half)
    ]
    if half:
        rows.append(AccountRow("skipped", "out.2, the variance's half of the output", 2, half))
    if in_channels > 3:
        new = weights[STEM].numel() // 3 * (in_channels - 3)
        rows.append(
            AccountRow("new, at 0", "input_blocks.0.0.weight, the condition's channels", 1, new)
        )
    return tuple(rows)
