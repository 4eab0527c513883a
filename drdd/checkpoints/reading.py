"""Read checkpoint files of others safely: tensors only, never code."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from drdd.errors import UserError

# The names of refused objects in errors of torch's restricted unpickler.
_CODE = re.compile(
    r"(?:unsupported(?: global:)? GLOBAL|unrecognized function) (\S+)", re.IGNORECASE
)


def read_checkpoint(path: Path) -> Any:
    """The content of a .safetensors file or a .pt or .pth file of torch, with tensors on the CPU.

    Raises UserError when the file is missing, truncated, or holds anything but plain data: code in a
    checkpoint is never run.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{path}: no such file") from None
    except Exception as error:  # a file that is not a pickle can raise anything
        if found := _CODE.search(str(error)):
            raise UserError(
                f"{path}: holds code or objects besides tensors and plain data, which is refused "
                f"({found[1]}); save the state dict alone"
            ) from None
        raise UserError(
            f"{path}: damaged, cut short, or no checkpoint ({_last(error)}); get the file again"
        ) from None


def check_weights(net: nn.Module, weights: Mapping[str, Tensor], what: str) -> None:
    """Raises UserError unless `weights` are exactly the tensors of `net`.

    what: names the file and the network in the error message.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    reshaped = [
        f"{name} is {found[name]}, not {expected[name]}"
        for name in expected
        if name in found and found[name] != expected[name]
    ]
    said = [
        *(
            [f"{len(missing)} of {len(expected)} tensors are missing ({_few(missing)})"]
            * bool(missing)
        ),
        *([f"{len(extra)} are not known ({_few(extra)})"] * bool(extra)),
        *([f"{len(reshaped)} have another shape ({_few(reshaped)})"] * bool(reshaped)),
    ]
    if said:
        raise UserError(f"{what} does not fit its configuration: {'; '.join(said)}")


def under(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _last(error: Exception) -> str:
    """The essential line of a long error message of torch."""
    said = str(error).partition("WeightsUnpickler error:")[2] or str(error)
    return (said.strip().splitlines() or [type(error).__name__])[0][:160]
