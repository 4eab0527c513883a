"""What training makes small: an error, (B, C, H, W), to one number for each sample, (B,)."""

from collections.abc import Callable

from torch import Tensor

Loss = Callable[[Tensor], Tensor]
SMOOTH = 1e-3
"""Where the Charbonnier loss turns from a parabola into a line (Charbonnier et al. 1994)."""
FLOOR = 1e-4
"""Mean squared error of images in [-1, 1] below which the logarithm sees little: 46 dB."""


def squared(error: Tensor) -> Tensor:
    """The mean squared error."""
    return error.square().mean(dim=(1, 2, 3))


def charbonnier(error: Tensor) -> Tensor:
    """The mean absolute error, smooth at 0."""
    return (error.square() + SMOOTH**2).sqrt().mean(dim=(1, 2, 3))


def log_squared(error: Tensor) -> Tensor:
    """ln(mean squared error + FLOOR): its mean is the mean PSNR, so no task starves another."""
    return (squared(error) + FLOOR).log()


LOSSES: dict[str, Loss] = {
    "squared": squared,
    "charbonnier": charbonnier,
    "log_squared": log_squared,
}
