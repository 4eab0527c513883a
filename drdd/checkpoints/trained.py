"""The weights.safetensors of a stage, which includes the configurations of its networks."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from drdd.checkpoints.reading import under
from drdd.files import write_bytes
from drdd.nets.families import NetworkConfig, described, network_config


def write_trained(
    path: Path, weights: Mapping[str, Tensor], networks: Mapping[str, NetworkConfig]
) -> None:
    """networks: "residual", "noise", or both if one module contains them under these names.

    Empty if the method has no such stage. The same content gives the same bytes.
    """
    tensors = {name: value.float().contiguous() for name, value in weights.items()}
    said = {part: described(networks[part]) for part in sorted(networks)}
    write_bytes(path, save(tensors, metadata={"networks": json.dumps(said)}))


def read_trained(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, NetworkConfig]]:
    """The weights and the configuration of each network."""
    with safe_open(path, "pt") as file:
        said = json.loads(file.metadata()["networks"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    configs = {part: network_config(**fields) for part, fields in said.items()}
    if len(configs) < 2:
        return dict.fromkeys(configs, tensors), configs
    return {part: under(f"{part}.", tensors) for part in configs}, configs
