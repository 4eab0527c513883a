"""Read a UNet2DModel of Hugging Face diffusers as our AdmUNet.

Its folder holds config.json, diffusion_pytorch_model.safetensors and often scheduler_config.json (a
pipeline has them in its subfolders unet/ and scheduler/).
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from drdd.bounded import read_json
from drdd.checkpoints.reading import INDEX, read_checkpoint
from drdd.errors import UserError
from drdd.nets.adm import AdmConfig

UNET, SCHEDULER = "config.json", "scheduler_config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
SAVED = (WEIGHTS, f"{WEIGHTS}{INDEX}", "diffusion_pytorch_model.bin")
LARGEST = 1024**2  # bytes of a JSON file
_Number = Annotated[int, Field(ge=1, le=2**16)]
_Word = Annotated[str, Field(max_length=60)]
PREDICTIONS = {"epsilon": "vp_epsilon", "v_prediction": "vp_v", "sample": "vp_x0"}
# Settings without a counterpart in AdmUNet. Settings that are not in the file have diffusers' defaults.
_ONLY: dict[str, tuple[Any, ...]] = {
    "_class_name": ("UNet2DModel",),
    "in_channels": (3,),
    "center_input_sample": (False,),
    "time_embedding_type": ("positional",),
    "time_embedding_dim": (None,),
    "mid_block_type": ("UNetMidBlock2D",),
    "mid_block_scale_factor": (1,),
    "act_fn": ("silu", "swish"),
    "attn_norm_num_groups": (None,),
    "resnet_time_scale_shift": ("default", "scale_shift"),
    "class_embed_type": (None,),
    "num_class_embeds": (None,),
}
_SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "linear",
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "trained_betas": None,
}
_INNER = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
)
_ENDS = (
    (r"^conv_in\.", "input_blocks.0.0."),
    (r"^time_embedding\.linear_1\.", "time_embed.0."),
    (r"^time_embedding\.linear_2\.", "time_embed.2."),
    (r"^conv_norm_out\.", "out.0."),
    (r"^conv_out\.", "out.2."),
    (r"^mid_block\.resnets\.0\.", "middle_block.0."),
    (r"^mid_block\.attentions\.0\.", "middle_block.1."),
)
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def read_unet2d(folder: Path) -> tuple[AdmConfig, dict[str, Tensor], str | None]:
    """The configuration, the weights under our names, and the parameterization of the scheduler.

    The parameterization is None without scheduler_config.json. Raises UserError if the folder is not a
    UNet2DModel, or has a setting without a counterpart in AdmUNet.
    """
    inner = folder / "unet" if (folder / "unet" / UNET).is_file() else folder
    settings = _json(inner / UNET)
    config = unet2d_config(settings, str(inner / UNET))
    weights = unet2d_names(_weights(inner), config)
    schedulers = (folder / SCHEDULER, folder / "scheduler" / SCHEDULER)
    named = next((path for path in schedulers if path.is_file()), None)
    return config, weights, _parameterization(named) if named else None


def _weights(folder: Path) -> dict[str, Tensor]:
    """Whole, in shards, or as older programs save them."""
    found = next((folder / name for name in SAVED if (folder / name).exists()), folder / WEIGHTS)
    content = read_checkpoint(found)
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise UserError(f"{found}: holds no state dict, names with tensors; get the file again")
    return content


class _Settings(BaseModel):
    """The types and bounds of the settings that are read here."""

    model_config = ConfigDict(strict=True)

    block_out_channels: Annotated[list[_Number], Field(min_length=1, max_length=16)] = [224]
    down_block_types: Annotated[list[_Word], Field(max_length=16)] = []
    up_block_types: Annotated[list[_Word], Field(max_length=16)] = []
    downsample_type: _Word = "conv"
    upsample_type: _Word = "conv"
    layers_per_block: Annotated[int, Field(ge=1, le=64)] = 2
    out_channels: _Number = 3
    add_attention: bool = True
    attention_head_dim: _Number | None = None
    downsample_padding: Annotated[int, Field(ge=0, le=16)] = 1
    norm_num_groups: _Number = 32
    norm_eps: Annotated[float, Field(gt=0, le=1)] = 1e-5
    freq_shift: Annotated[float, Field(ge=0, le=1000)] = 0
    flip_sin_to_cos: bool = True


def unet2d_config(settings: Mapping[str, Any], origin: str) -> AdmConfig:
    """The configuration from the content of config.json. origin: the file, for error messages."""
    try:
        _Settings.model_validate_json(json.dumps(settings))
    except ValidationError as error:
        one = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in one["loc"])
        raise UserError(f"{origin}: {where}: {one['msg']}; get the file again") from None
    wrong = [
        f"{name} is {settings[name]!r:.60}, not {' or '.join(map(repr, allowed))}"
        for name, allowed in _ONLY.items()
        if name in settings and settings[name] not in allowed
    ]
    widths = settings.get("block_out_channels", (224, 448, 672, 896))
    count = len(widths)
    down = settings.get("down_block_types", ("DownBlock2D", *["AttnDownBlock2D"] * 3))
    up = settings.get("up_block_types", (*["AttnUpBlock2D"] * 3, "UpBlock2D"))
    kinds = settings.get("downsample_type", "conv"), settings.get("upsample_type", "conv")
    known = {"Attn{}Block2D", "Resnet{}sampleBlock2D" if kinds[0] == "resnet" else "{}Block2D"}
    for name, blocks, way in (("down", down, "Down"), ("up", up, "Up")):
        if strange := sorted(set(blocks) - {kind.format(way) for kind in known}):
            wrong.append(f"{name}_block_types has {', '.join(strange)}")
    attends = [kind.startswith("Attn") for kind in down]
    if attends != [kind.startswith("Attn") for kind in reversed(up)]:
        wrong.append("attention is at other levels on the way down than on the way up")
    if kinds not in (("conv", "conv"), ("resnet", "resnet")):
        wrong.append(f"sizes change by {kinds[0]} on the way down and by {kinds[1]} on the way up")
    if any(width % widths[0] for width in widths):
        wrong.append(f"block_out_channels {list(widths)} are no multiples of the first")
    if wrong:
        raise UserError(f"{origin}: cannot be a start of the noise stage: {'; '.join(wrong)}")
    return AdmConfig(
        in_channels=3,
        out_channels=settings.get("out_channels", 3),
        channels=widths[0],
        multipliers=tuple(width // widths[0] for width in widths),
        blocks=settings.get("layers_per_block", 2),
        attention=tuple(2**level for level in range(count) if attends[level]),
        middle_attention=settings.get("add_attention", True),
        head_channels=settings.get("attention_head_dim", 8) or 0,
        scale_shift=settings.get("resnet_time_scale_shift", "default") == "scale_shift",
        resblock_updown=kinds[0] == "resnet",
        asymmetric=settings.get("downsample_padding", 1) == 0,
        norm_groups=settings.get("norm_num_groups", 32),
        norm_eps=settings.get("norm_eps", 1e-5),
        time_shift=settings.get("freq_shift", 0),
        sine_first=not settings.get("flip_sin_to_cos", True),
    )


def unet2d_names(weights: Mapping[str, Tensor], config: AdmConfig) -> dict[str, Tensor]:
    """The tensors under our names and shapes. An unknown tensor keeps its name."""
    last = f"middle_block.{1 + config.middle_attention}."
    ends = (*_ENDS, (r"^mid_block\.resnets\.1\.", last))
    place = _place(config)
    named: dict[str, Tensor] = {}
    attention: dict[str, dict[str, Tensor]] = {}
    for name, tensor in weights.items():
        for theirs, ours in ends:
            name = re.sub(theirs, ours, name)
        name = re.sub(r"^(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.", place, name)
        name = name.replace(".op.conv.", ".op.")
        for theirs, ours in _INNER:
            name = name.replace(f".{theirs}.", f".{ours}.")
        for theirs, ours in _OLD_ATTENTION.items():
            name = name.replace(f".{theirs}.", f".{ours}.")
        if found := re.match(r"(.*)\.(to_[qkv])\.(weight|bias)$", name):
            stem, which, kind = found.groups()
            attention.setdefault(f"{stem}.qkv.{kind}", {})[which] = tensor
            continue
        name = name.replace(".group_norm.", ".norm.")
        if ".to_out.0." in name:
            name = name.replace(".to_out.0.", ".proj_out.")
            tensor = tensor[..., None] if tensor.ndim == 2 else tensor
        named[name] = tensor
    for name, parts in attention.items():
        if set(parts) == {"to_q", "to_k", "to_v"}:
            named[name] = _head_by_head([parts[key] for key in ("to_q", "to_k", "to_v")], config)
        else:
            named |= {name.replace(".qkv.", f".{key}."): part for key, part in parts.items()}
    return named


def _head_by_head(parts: list[Tensor], config: AdmConfig) -> Tensor:
    """q, k, v, (C, C) or (C,) each -> (3 C, C, 1) or (3 C,): for each head its q, k and v."""
    size = config.head_channels or len(parts[0])
    rows = torch.stack([part.unflatten(0, (-1, size)) for part in parts], dim=1).flatten(0, 2)
    return rows[..., None] if rows.ndim == 2 else rows


def _place(config: AdmConfig) -> Callable[[re.Match[str]], str]:
    """(down or up, level, what, index) -> its index in input_blocks or output_blocks."""
    blocks, levels = config.blocks, len(config.multipliers)

    def place(found: re.Match[str]) -> str:
        way, level, what, index = found[1], int(found[2]), found[3], int(found[4])
        attends = 2 ** (level if way == "down" else levels - 1 - level) in config.attention
        if way == "down":
            step = 1 + level * (blocks + 1) + (blocks if what == "downsamplers" else index)
            slot = {"resnets": 0, "attentions": 1, "downsamplers": 0}.get(what)
        else:
            step = level * (blocks + 1) + (blocks if what == "upsamplers" else index)
            slot = {"resnets": 0, "attentions": 1, "upsamplers": 1 + attends}.get(what)
        if slot is None:
            return found[0]
        inner = "op." if what == "downsamplers" and not config.resblock_updown else ""
        return f"{'in' if way == 'down' else 'out'}put_blocks.{step}.{slot}.{inner}"

    return place


def _parameterization(path: Path) -> str:
    said = _json(path)
    for name, value in _SCHEDULE.items():
        if said.get(name, value) != value:
            raise UserError(
                f"{path}: {name} is {said[name]!r}, but only 1000 steps of linear betas from "
                "0.0001 to 0.02 are known as a parameterization of the noise stage"
            )
    predicts = said.get("prediction_type", "epsilon")
    if predicts not in PREDICTIONS:
        raise UserError(f"{path}: prediction_type is {predicts!r}, not {', '.join(PREDICTIONS)}")
    return PREDICTIONS[predicts]


def _json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = read_json(file.read(LARGEST + 1), LARGEST)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; a UNet2DModel's folder has one") from None
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); get the file again") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds {type(content).__name__}, not a mapping of settings")
    return content
