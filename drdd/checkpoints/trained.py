"""The weights.safetensors of a stage, which says what networks it holds and how they were trained."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from drdd.checkpoints.reading import under
from drdd.errors import UserError
from drdd.files import write_bytes
from drdd.nets.families import NetworkConfig, described, network_config

STAGE = "stage"  # the only key of the metadata: the order of several is not reproducible


@dataclass(frozen=True)
class Trained:
    """The content of a stage's file. weights, networks: by part, "residual" or "noise" or both.

    parameterization: of the noise stage, None for others.
    """

    weights: Mapping[str, dict[str, Tensor]]
    networks: Mapping[str, NetworkConfig]
    method: str
    parameterization: str | None


def write_trained(
    path: Path,
    weights: Mapping[str, Tensor],
    networks: Mapping[str, NetworkConfig],
    method: str,
    parameterization: str | None = None,
) -> None:
    """networks: "residual", "noise", or both if one module contains them under these names.

    Empty if the method has no such stage. The same content gives the same bytes.
    """
    tensors = {name: value.float().contiguous() for name, value in weights.items()}
    said = {
        "networks": {part: described(networks[part]) for part in sorted(networks)},
        "method": method,
        "parameterization": parameterization,
    }
    write_bytes(path, save(tensors, metadata={STAGE: json.dumps(said)}))


def read_trained(path: Path) -> Trained:
    """Raises UserError when the file is damaged, or none of a stage."""
    try:
        with safe_open(path, "pt") as file:
            said = json.loads((file.metadata() or {})[STAGE])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except KeyError:
        raise UserError(f"{path}: it has not the metadata of a trained stage") from None
    except SafetensorError as error:
        raise UserError(f"{path}: damaged, or no file of safetensors ({error})") from None
    configs = {part: network_config(**fields) for part, fields in said["networks"].items()}
    weights = (
        {part: under(f"{part}.", tensors) for part in configs}
        if len(configs) > 1
        else dict.fromkeys(configs, tensors)
    )
    return Trained(weights, configs, said["method"], said["parameterization"])
