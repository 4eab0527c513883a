"""The mean and the standard deviation of several samples, as they come."""

import torch
from torch import Tensor


class Moments:
    """Of samples x, (B, 3, H, W) in about [-1, 1], by Welford's update: no sample is kept."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = self._squares = torch.zeros(())

    def add(self, x: Tensor) -> None:
        """The values are clamped to [-1, 1], as those of a picture are."""
        x = x.float().nan_to_num(0.0).clamp(-1, 1)
        self._count += 1
        change = x - self._mean
        self._mean = self._mean + change / self._count
        self._squares = self._squares + change * (x - self._mean)

    @property
    def mean(self) -> Tensor:
        """(B, 3, H, W)."""
        return self._mean

    @property
    def deviation(self) -> Tensor:
        """(B, H, W), in [0, 1]: the root of the mean over the channels of the variance, of count n."""
        return (self._squares / self._count).mean(1).sqrt()
