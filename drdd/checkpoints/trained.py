"""The weights.safetensors of a stage, which says what networks it holds and how they were trained."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from drdd.bounded import read_json
from drdd.checkpoints.reading import LARGEST_HEADER, read_shapes, under
from drdd.errors import UserError
from drdd.files import write_bytes
from drdd.nets.families import NetworkConfig, described, read_config
from drdd.settings import Name

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


class _Said(BaseModel):
    """The metadata of a stage's file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    networks: Annotated[dict[Name, dict[str, Any]], Field(max_length=8)]
    method: Annotated[str, Field(max_length=40)]
    parameterization: Annotated[str, Field(max_length=40)] | None


def read_trained(path: Path) -> Trained:
    """Raises UserError when the file is damaged, or none of a stage."""
    read_shapes(path)
    try:
        with safe_open(path, "pt") as file:
            content = (file.metadata() or {})[STAGE].encode()
            read_json(content, LARGEST_HEADER)
            said = _Said.model_validate_json(content)
            configs = {part: read_config(fields) for part, fields in said.networks.items()}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except KeyError:
        raise UserError(f"{path}: it has not the metadata of a trained stage") from None
    except SafetensorError as error:
        raise UserError(f"{path}: damaged, or no file of safetensors ({error})") from None
    except ValueError:
        raise UserError(f"{path}: its metadata is not that of a trained stage") from None
    weights = (
        {part: under(f"{part}.", tensors) for part in configs}
        if len(configs) > 1
        else dict.fromkeys(configs, tensors)
    )
    return Trained(weights, configs, said.method, said.parameterization)
