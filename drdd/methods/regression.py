"""The regression baseline: one network predicts the residual from the degraded image, without noise."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from drdd.diffusion.keyed import Draw
from drdd.diffusion.process import Net
from drdd.diffusion.sampler import constant_time
from drdd.methods.method import Batch, Method, Objective, State
from drdd.nets.families import NetworkConfig, network_config


class Implementation(Method):
    """I_in -> I_res in one step. The t and noise of a sample are not used."""

    options = ()
    restores = "in one step without noise"

    def networks(self, stage: str, settings: Mapping[str, Any]) -> dict[str, NetworkConfig]:
        return {"residual": network_config(in_channels=3, **settings).for_restoring()}

    def loss(self, stage: str, net: Net, batch: Batch, objective: Objective) -> Tensor:
        """Error of I_res predicted from I_in alone, (B,)."""
        assert batch.degraded is not None
        degraded, residual = batch.degraded, batch.degraded - batch.target
        predicted = net(degraded, constant_time(degraded, self.schedule.steps))
        return objective.of_residual(batch)(predicted.float() - residual)

    def trajectory(self, nets: Mapping[str, Net], degraded: Tensor, draw: Draw) -> Iterator[State]:
        """ "input", "output" = I_in - I_res_hat."""
        yield State("input", degraded)
        residual = nets["residual"](degraded, constant_time(degraded, self.schedule.steps))
        yield State("output", degraded - residual.float())

    def timesteps(self, stage: str) -> list[int]:
        return [self.schedule.steps - 1]
