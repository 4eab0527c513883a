"""A method in one file, as docs/development.md shows it: two passes of one network that predicts I_0."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from drdd.diffusion.keyed import Draw
from drdd.diffusion.process import Net
from drdd.diffusion.sampler import constant_time
from drdd.methods.method import Batch, Method, Objective, State
from drdd.nets.families import NetworkConfig, network_config


class Implementation(Method):
    options = ()
    restores = "in two passes without noise"

    def networks(self, stage: str, settings: Mapping[str, Any]) -> dict[str, NetworkConfig]:
        """I_in -> I_0."""
        return {"residual": network_config(in_channels=3, **settings)}

    def loss(self, stage: str, net: nn.Module, batch: Batch, objective: Objective) -> Tensor:
        """Absolute error of I_0, (B,)."""
        assert batch.degraded is not None
        predicted = net(batch.degraded, constant_time(batch.degraded, 0.0))
        return (predicted.float() - batch.target).abs().mean(dim=(1, 2, 3))

    def trajectory(self, nets: Mapping[str, Net], degraded: Tensor, draw: Draw) -> Iterator[State]:
        """ "input", "pass 1", "pass 2"."""
        x = degraded
        yield State("input", x)
        for n in (1, 2):
            x = nets["residual"](x, constant_time(x, 0.0)).float()
            yield State(f"pass {n}", x)
