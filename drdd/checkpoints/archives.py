"""What a .pt file of a stranger may hold, checked before and after torch reads it.

torch.load(weights_only=True) runs no code, but trusts sizes: it inflates compressed records, makes
bytearrays of any length, and lets few bytes stand for a tensor of any shape.
"""

import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drdd.errors import UserError

RECORDS = 20_000
PICKLE = 16 * 1024**2  # bytes of the pickle, which names the tensors
# torch's own names of storages, of what rebuilds tensors, and of types.
_HARMLESS = re.compile(
    r"collections OrderedDict|torch Size|torch\.storage (Untyped|Typed)Storage|torch \w+Storage|"
    r"torch\._utils _rebuild_(tensor|tensor_v2|parameter)|torch (float|bfloat|int|uint)\d+|"
    r"torch (bool|float|double|half|int|long|short)|torch device"
)
_BY_STACK = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"}
_LEGACY_PICKLES = 5  # before the storages: magic number, version, system, the object, keys


class CodeError(ValueError):
    """The name of what a pickle asks for, which is neither a tensor nor plain data."""


def check_archive(path: Path) -> None:
    """Raises CodeError, or UserError when the archive would take more memory than its file has bytes."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            for _ in range(_LEGACY_PICKLES):
                _check_pickle(file)
        return
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        total = sum(record.file_size for record in records)
        packed = any(record.compress_type != zipfile.ZIP_STORED for record in records)
        pickles = [record for record in records if record.filename.endswith(".pkl")]
        large = any(record.file_size > PICKLE for record in pickles)
        if packed or large or total > path.stat().st_size or len(records) > RECORDS:
            raise UserError(
                f"{path}: its records are compressed, too many or too large, as torch writes none; "
                "load and save it again with torch"
            )
        for record in pickles:
            with archive.open(record) as file:
                _check_pickle(file)


def check_tensors(content: Any, size: int) -> None:
    """Raises ValueError unless all tensors are dense and on the CPU, and their bytes are of `size` ones."""
    total = 0
    for tensor in _tensors(content):
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise ValueError("a tensor is sparse, or has no values")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ValueError("a tensor claims more values than the file has")
        total += tensor.numel() * tensor.element_size()
    if total > 2 * size:  # some tensors may share their values
        raise ValueError("its tensors claim more values than the file has")


def _check_pickle(file: Any) -> None:
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in _BY_STACK:
            raise ValueError(f"opcode {opcode.name}, which torch never writes")
        if opcode.name == "GLOBAL" and not _HARMLESS.fullmatch(str(argument)):
            raise CodeError(str(argument).replace(" ", ".")[:100])


def _tensors(content: Any) -> Iterator[Tensor]:
    """All tensors, each object once, without recursion."""
    seen, waiting = set(), [content]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list | tuple | set):
            waiting += one
