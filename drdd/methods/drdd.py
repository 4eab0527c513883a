"""DRDD (arXiv 2606.01048): remove the residual inside a domain of fixed noise, then remove the noise."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from torch import Tensor, nn

from drdd.diffusion.keyed import Draw
from drdd.diffusion.parameterization import adapted
from drdd.diffusion.process import Net, noise_loss, residual_loss
from drdd.diffusion.rollout import rollout_loss
from drdd.diffusion.sampler import remove_noise, remove_residual
from drdd.methods.method import Batch, Method, Objective, State
from drdd.nets.families import NetworkConfig, network_config


class Implementation(Method):
    """Two networks, trained independently: eps on clean images, I_res on pairs."""

    stages = {"noise": ("noise",), "residual": ("residual",)}  # noqa: RUF012

    def networks(self, stage: str, settings: Mapping[str, Any]) -> dict[str, NetworkConfig]:
        """noise: (x_t [, condition]) -> eps; residual: (y_t, I_in) -> I_res."""
        if stage == "noise":
            channels = 3 if self.sampling.conditioning == "none" else 6
            return {"noise": network_config(in_channels=channels, **settings)}
        return {"residual": network_config(in_channels=6, **settings).for_restoring()}

    def loss(self, stage: str, net: Net, batch: Batch, objective: Objective) -> Tensor:
        if stage == "noise":
            condition = None if self.sampling.conditioning == "none" else batch.degraded
            clean = (self.schedule, batch.target, batch.t, batch.noise)
            return noise_loss(net, *clean, condition, objective.loss)
        assert batch.degraded is not None
        pair = (self.schedule, batch.target, batch.degraded, batch.t, batch.noise)
        loss = objective.of_residual(batch)
        if objective.rollout:
            return rollout_loss(net, *pair, self.sampling.residual_steps, loss)
        return residual_loss(net, *pair, loss)

    def trajectory(self, nets: Mapping[str, Net], degraded: Tensor, draw: Draw) -> Iterator[State]:
        """ "noised input", "de-residual 1", ..., "estimate" (I_in - I_res_hat), "de-noise 1", ..."""
        sampling, schedule = self.sampling, self.schedule
        x = degraded + schedule.fixed_noise * draw("fixed noise")
        yield State("noised input", x)
        grid = schedule.residual_grid(sampling.residual_steps)
        steps = remove_residual(nets["residual"], schedule, x, degraded, grid)
        for n, (x, residual) in enumerate(steps, 1):  # noqa: B007
            yield State(f"de-residual {n}", x)
        estimate = degraded - residual
        del residual
        yield State("estimate", estimate)
        condition = {"none": None, "input": degraded, "estimate": estimate}[sampling.conditioning]
        del estimate
        denoised = remove_noise(
            nets["noise"], schedule, x, sampling.noise_steps, sampling.eta, draw, condition
        )
        for n, x in enumerate(denoised, 1):
            yield State(f"de-noise {n}", x)

    def timesteps(self, stage: str) -> list[int]:
        if stage == "noise":
            return self.schedule.noise_grid(self.sampling.noise_steps)[:-1]
        return super().timesteps(stage)

    def last_timestep(self, stage: str) -> int:
        return self.schedule.t_start if stage == "noise" else super().last_timestep(stage)

    def adapt(self, name: str, net: nn.Module) -> nn.Module:
        if name == "noise":
            return adapted(net, self.sampling.parameterization, self.sampling.steps)
        return net

    def validate(
        self, stage: str, net: Net, target: Tensor, degraded: Tensor | None, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """noise: denoise target + s * eps. residual: remove the residual, then subtract the fixed noise,
        which the noise stage would remove.
        """
        fixed = self.schedule.fixed_noise * noise
        if stage == "noise":
            condition = None if self.sampling.conditioning == "none" else degraded
            steps, noisy = self.sampling.noise_steps, target + fixed
            for x in remove_noise(net, self.schedule, noisy, steps, condition=condition):
                output = x
            return noisy, output
        assert degraded is not None
        states = self.trajectory({"residual": net}, degraded, lambda purpose: noise)
        *_, last = islice(states, 1 + self.sampling.residual_steps)
        return degraded, last.image - fixed
