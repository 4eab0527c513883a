"""Decoupled Residual Denoising Diffusion: image-to-image models from few pairs and many unpaired images.

drdd.Restorer.from_pretrained("s3://bucket/models@champion").restore(pixels).output
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drdd.diffusion.sampler import remove_noise, remove_residual
    from drdd.diffusion.schedule import Schedule
    from drdd.errors import TransientError, UserError
    from drdd.inference.engine import Restoration, Restorer
    from drdd.inference.options import Options
    from drdd.methods.method import Method, Sampling

__all__ = [
    "Method",
    "Options",
    "Restoration",
    "Restorer",
    "Sampling",
    "Schedule",
    "TransientError",
    "UserError",
    "remove_noise",
    "remove_residual",
]

_MODULES = {
    "Method": "drdd.methods.method",
    "Options": "drdd.inference.options",
    "Restoration": "drdd.inference.engine",
    "Restorer": "drdd.inference.engine",
    "Sampling": "drdd.methods.method",
    "Schedule": "drdd.diffusion.schedule",
    "TransientError": "drdd.errors",
    "UserError": "drdd.errors",
    "remove_noise": "drdd.diffusion.sampler",
    "remove_residual": "drdd.diffusion.sampler",
}


def __getattr__(name: str) -> Any:
    """`import drdd` alone imports no torch, so the command line starts at once."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
