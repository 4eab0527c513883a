"""The model folder: model.safetensors (the networks) and config.json (how to use them)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from drdd.checkpoints.reading import check_weights, under
from drdd.diffusion.keyed import Draw
from drdd.diffusion.methods import Sampling, TwoNetworks, restore
from drdd.diffusion.parameterization import adapted
from drdd.diffusion.sampler import Sample
from drdd.diffusion.schedule import Schedule
from drdd.errors import UserError
from drdd.files import write_bytes, write_json
from drdd.nets.families import NetworkConfig, build, described, for_inference, network_config

WEIGHTS, CONFIG = "model.safetensors", "config.json"
FORMAT = "drdd-2"


@dataclass(frozen=True)
class Model:
    """The method's networks in evaluation mode, and how to sample with them.

    nets: "residual" and, for DRDD, "noise".
    """

    nets: Mapping[str, nn.Module]
    factor: int
    schedule: Schedule
    sampling: Sampling
    tasks: tuple[str, ...]

    def restore(self, degraded: Tensor, draw: Draw) -> Sample:
        """Restore (B, 3, H, W) in [-1, 1], H and W multiples of `factor`.

        Raises UserError for another shape, and for values that are no finite numbers.
        """
        if degraded.ndim != 4 or degraded.shape[1] != 3:
            raise UserError(f"images must be (B, 3, H, W), got {tuple(degraded.shape)}")
        if degraded.shape[2] % self.factor or degraded.shape[3] % self.factor:
            raise UserError(
                f"height and width must be multiples of {self.factor}, "
                f"got {degraded.shape[2]} x {degraded.shape[3]}: pad the images"
            )
        if broken := int((~torch.isfinite(degraded)).sum()):
            raise UserError(f"{broken} of {degraded.numel()} input values are NaN or infinite")
        return restore(self.sampling, self.schedule, self.nets, degraded, draw)


def save_model(
    folder: Path,
    weights: Mapping[str, Mapping[str, Tensor]],
    configs: Mapping[str, NetworkConfig],
    sampling: Sampling,
    tasks: Sequence[str],
) -> None:
    """weights, configs: by network, "residual" and "noise"; one of them where the method has one.

    The same content gives the same bytes.
    """
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
            "networks": {part: described(configs[part]) for part in sorted(configs)},
            "sampling": asdict(sampling),
            "tasks": sorted(tasks),
        },
    )


@dataclass(frozen=True)
class Saved:
    """What a model folder holds. weights, networks: by part, "residual" and "noise"."""

    weights: Mapping[str, dict[str, Tensor]]
    networks: Mapping[str, NetworkConfig]
    sampling: Sampling
    tasks: tuple[str, ...]


def read_model(folder: Path) -> Saved:
    """Raises UserError when the folder is no model, or one of another format."""
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
    return Saved(
        weights={part: under(f"{part}.", tensors) for part in config["networks"]},
        networks={part: network_config(**fields) for part, fields in config["networks"].items()},
        sampling=Sampling(**config["sampling"]),
        tasks=tuple(config["tasks"]),
    )


def load_model(folder: Path) -> Model:
    """Raises UserError when the folder is no model or its weights do not fit its configuration."""
    saved = read_model(folder)
    loaded = {part: _network(part, saved, folder) for part in saved.networks}
    if saved.sampling.method == "coupled" and "noise" in loaded:
        loaded = {"residual": TwoNetworks(loaded["residual"], loaded["noise"])}
    return Model(
        nets=loaded,
        factor=max(network.factor for network in saved.networks.values()),
        schedule=saved.sampling.schedule(),
        sampling=saved.sampling,
        tasks=saved.tasks,
    )


def _network(part: str, saved: Saved, folder: Path) -> nn.Module:
    net = build(saved.networks[part])
    if part == "noise" and saved.sampling.method == "drdd":
        net = adapted(net, saved.sampling.parameterization, saved.sampling.steps)
    check_weights(net, saved.weights[part], f"{folder}: the {part} network")
    net.load_state_dict(saved.weights[part])
    return for_inference(net)
