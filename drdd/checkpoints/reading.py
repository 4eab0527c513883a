"""Read checkpoint files of others safely: tensors only, never code."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from drdd.bounded import read_json
from drdd.checkpoints.archives import CodeError, check_archive, check_tensors
from drdd.checkpoints.kinds import kind_at, no_checkpoint, refuse_other_zip, refuse_parts
from drdd.errors import UserError
from drdd.first_bytes import JSON, PICKLE, SAFETENSORS, ZIP

LARGEST_HEADER = 4 * 1024**2  # bytes, of a .safetensors file
INDEX = ".index.json"  # ends the name of an index of shards
FLOATS = {"F64", "F32", "F16", "BF16"}
_DAMAGED = "{}: damaged, cut short, or no checkpoint ({}); get the file again"
_CODE_SAID = (
    "{}: holds code or objects besides tensors and plain data, which is refused ({}); save the state "
    "dict alone"
)

# The names of refused objects in errors of torch's restricted unpickler.
_CODE = re.compile(
    r"(?:unsupported(?: global:)? GLOBAL|unrecognized function) (\S+)", re.IGNORECASE
)


def read_checkpoint(path: Path) -> Any:
    """The content of a file of safetensors or of torch, or of the shards that an index of them names.

    The first bytes say which it is, not its suffix. Tensors are on the CPU.
    Raises UserError when the file is missing, truncated, something else, which is named, or holds anything
    but plain data: code in a checkpoint is never run.
    """
    kind = kind_at(path)
    if kind is JSON and path.name.endswith(INDEX):
        return _of_shards(path)
    if kind not in (SAFETENSORS, ZIP, PICKLE, None):
        raise no_checkpoint(path, kind)
    try:
        if kind is SAFETENSORS:
            read_shapes(path)
            return load_file(path)
        refuse_other_zip(path)
        if kind is None:
            refuse_parts(path)
        check_archive(path)
        with path.open("rb") as file:  # of a path, torch would believe the suffix
            content = torch.load(file, map_location="cpu", weights_only=True)
        check_tensors(content, path.stat().st_size)
        return content
    except UserError:
        raise
    except CodeError as error:
        raise UserError(_CODE_SAID.format(path, error)) from None
    except Exception as error:  # a file that is not a pickle can raise anything
        if found := _CODE.search(str(error)):
            raise UserError(_CODE_SAID.format(path, found[1])) from None
        raise UserError(_DAMAGED.format(path, _last(error))) from None


def _of_shards(index: Path) -> dict[str, Tensor]:
    """The tensors of all files that an index names, as large models are saved: in the same folder."""
    with index.open("rb") as file:
        content = file.read(LARGEST_HEADER + 1)
    try:
        found = read_json(content, LARGEST_HEADER)
        shards = sorted(set(found["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{index}: no index of shards; get the file again") from None
    if not all(isinstance(one, str) and Path(one).name == one for one in shards):
        raise UserError(f"{index}: names files outside its folder; get the file again")
    tensors: dict[str, Tensor] = {}
    for shard in shards:
        part = read_checkpoint(index.parent / shard)
        if not isinstance(part, dict):
            raise UserError(f"{index.parent / shard}: no shard of tensors; get the file again")
        tensors |= part
    return tensors


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors of a file of safetensors, by its header alone.

    Raises UserError when it is something else, which is named, or when the header is too large, lies of
    the file, or names other types than floating point.
    """
    kind = kind_at(path)
    if kind is not None and kind is not SAFETENSORS:
        raise UserError(f"{path}: {kind.name}, where safetensors is expected", kind.advice)
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
        if size > LARGEST_HEADER:
            raise UserError(_DAMAGED.format(path, f"its header claims {size:,} bytes"))
        with safe_open(path, "pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            types = {one.get_dtype() for one in slices.values()}
            shapes = {name: tuple(one.get_shape()) for name, one in slices.items()}
    except (SafetensorError, OSError) as error:
        raise UserError(_DAMAGED.format(path, _last(error))) from None
    if strange := types - FLOATS:
        raise UserError(f"{path}: holds values of type {', '.join(sorted(strange))}, no weights")
    return shapes


def check_weights(net: nn.Module, weights: Mapping[str, Tensor], what: str) -> None:
    """Raises UserError unless `weights` are exactly the tensors of `net`.

    what: names the file and the network in the error message.
    """
    check_shapes(net, {name: tuple(tensor.shape) for name, tensor in weights.items()}, what)


def check_shapes(net: nn.Module, found: Mapping[str, tuple[int, ...]], what: str) -> None:
    """As check_weights, by the shapes alone."""
    expected = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
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
