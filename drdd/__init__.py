"""Decoupled Residual Denoising Diffusion: image-to-image models from few pairs and many unpaired images.

drdd.Restorer.from_pretrained("s3://bucket/models@champion").restore(pixels).output
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drdd.inference.engine import Restorer

__all__ = ["Restorer"]


def __getattr__(name: str) -> Any:
    """`import drdd` alone imports no torch, so the command line starts at once."""
    if name == "Restorer":
        from drdd.inference.engine import Restorer

        return Restorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
