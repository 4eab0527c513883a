"""The model folder: model.safetensors (both networks) and config.json (how to use them)."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from drdd.diffusion.schedule import Schedule
from drdd.errors import UserError
from drdd.files import write_bytes, write_json
from drdd.nets.compact import CompactConfig, CompactUNet

WEIGHTS, CONFIG = "model.safetensors", "config.json"
FORMAT = "drdd-1"


@dataclass(frozen=True)
class Sampling:
    """What the schedule and the sampler need; see drdd.diffusion."""

    steps: int
    beta_start: float
    beta_end: float
    noise_level: float
    residual_steps: int
    noise_steps: int
    eta: float


@dataclass(frozen=True)
class Model:
    """Both networks in evaluation mode, and how to sample with them."""

    residual: CompactUNet
    noise: CompactUNet
    schedule: Schedule
    sampling: Sampling
    tasks: tuple[str, ...]

    @property
    def factor(self) -> int:
        """Height and width must be multiples of this."""
        return max(self.residual.config.factor, self.noise.config.factor)


def save_model(
    folder: Path,
    weights: Mapping[str, Mapping[str, Tensor]],
    configs: Mapping[str, CompactConfig],
    sampling: Sampling,
    tasks: list[str],
) -> None:
    """weights, configs: for "residual" and "noise". The same content gives the same bytes."""
    tensors = {
        f"{part}.{name}": value.float().contiguous()
        for part in sorted(weights)
        for name, value in weights[part].items()
    }
    write_bytes(folder / WEIGHTS, save(tensors, metadata={"format": FORMAT}))
    write_json(
        folder / CONFIG,
        {
            "format": FORMAT,
            "networks": {part: asdict(configs[part]) for part in sorted(configs)},
            "sampling": asdict(sampling),
            "tasks": sorted(tasks),
        },
    )


def load_model(folder: Path) -> Model:
    """Raises UserError when the folder is no model or its weights do not fit its configuration."""
    try:
        config = json.loads((folder / CONFIG).read_text())
        tensors = load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} is no model folder: {Path(error.filename).name} is missing"
        ) from None
    except (json.JSONDecodeError, SafetensorError) as error:
        raise UserError(f"{folder}: damaged model file ({error}); pull or train it again") from None
    if config.get("format") != FORMAT:
        raise UserError(f"{folder}: format {config.get('format')!r}, this version reads {FORMAT!r}")
    sampling = Sampling(**config["sampling"])
    schedule = Schedule.linear(
        sampling.noise_level, sampling.steps, sampling.beta_start, sampling.beta_end
    )
    residual, noise = (
        _network(config["networks"][part], tensors, part, folder) for part in ("residual", "noise")
    )
    return Model(residual, noise, schedule, sampling, tuple(config["tasks"]))


def _network(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], part: str, folder: Path
) -> CompactUNet:
    channels = tuple(config["channels"])
    net = CompactUNet(CompactConfig(config["in_channels"], channels, config["blocks"]))
    prefix = f"{part}."
    weights = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"{folder}: the {part} weights do not fit config.json: {error}") from None
    return net.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
