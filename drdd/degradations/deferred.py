"""A lazily imported torch for the files of degradations.

Reading params.yaml needs the schemas in these files, but not torch, whose import takes several times as
long as all the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any


class Deferred:
    """A module that is imported when an attribute of it is first asked for."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._module), name)


if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
    from torch import Generator, Tensor
else:
    torch, F = Deferred("torch"), Deferred("torch.nn.functional")
    Generator = Tensor = Any

__all__ = ["Deferred", "F", "Generator", "Tensor", "torch"]
