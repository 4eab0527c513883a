"""A lazily imported torch for the files of degradations.

Reading params.yaml needs the schemas in these files, but not torch, whose import takes several times as
long as all the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
    from torch import Generator, Tensor
else:

    class _Deferred:
        def __init__(self, module: str) -> None:
            self._module = module

        def __getattr__(self, name: str) -> Any:
            return getattr(import_module(self._module), name)

    torch, F = _Deferred("torch"), _Deferred("torch.nn.functional")
    Generator = Tensor = Any

__all__ = ["F", "Generator", "Tensor", "torch"]
