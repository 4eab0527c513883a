"""Decoupled Residual Denoising Diffusion: image-to-image models from few pairs and many unpaired images.

drdd.Restorer.from_pretrained("s3://bucket/models@champion").restore(pixels).output
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drdd.diffusion.sampler import remove_noise, remove_residual, sample
    from drdd.diffusion.schedule import Schedule
    from drdd.errors import TransientError, UserError
    from drdd.inference.engine import Options, Restoration, Restorer

# The public interface: each name and its module. The methods' protocol joins it here.
_MODULES = {
    "Options": "drdd.inference.engine",
    "Restoration": "drdd.inference.engine",
    "Restorer": "drdd.inference.engine",
    "Schedule": "drdd.diffusion.schedule",
    "TransientError": "drdd.errors",
    "UserError": "drdd.errors",
    "remove_noise": "drdd.diffusion.sampler",
    "remove_residual": "drdd.diffusion.sampler",
    "sample": "drdd.diffusion.sampler",
}
__all__ = [
    "Options",
    "Restoration",
    "Restorer",
    "Schedule",
    "TransientError",
    "UserError",
    "remove_noise",
    "remove_residual",
    "sample",
]


def __getattr__(name: str) -> Any:
    """`import drdd` alone imports no torch, so the command line starts at once."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
