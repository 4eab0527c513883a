"""The method of the params, and the settings of each of its stages."""

from drdd.diffusion.losses import LOSSES
from drdd.methods import find
from drdd.methods.method import Method, Objective, Sampling
from drdd.nets.families import NetworkConfig
from drdd.params import Params, TrainNoise, TrainResidual


def sampling_of(params: Params) -> Sampling:
    """The settings for restoring with the trained networks."""
    noise = params.train.noise
    return Sampling(
        method=params.method,
        conditioning=noise.conditioning,
        parameterization=noise.parameterization,
        **params.diffusion.model_dump(),
    )


def method_of(params: Params) -> Method:
    return find(params.method)(sampling_of(params))


def stage_settings(params: Params, stage: str) -> TrainNoise | TrainResidual:
    """A method without a noise stage trains its residual stage for the images of both stages."""
    noise, residual = params.train.noise, params.train.residual
    if stage == "noise":
        return noise
    if "noise" in find(params.method).stages:
        return residual
    return residual.model_copy(update={"images": noise.images + residual.images})


def objective_of(settings: TrainNoise | TrainResidual) -> Objective:
    loss = LOSSES[settings.loss]
    if isinstance(settings, TrainNoise):
        return Objective(loss)
    return Objective(loss, settings.balance == "relative", settings.rollout)


def networks_of(params: Params, stage: str) -> dict[str, NetworkConfig]:
    """The networks that a stage trains, unless it begins from a checkpoint with networks of its own."""
    settings = stage_settings(params, stage)
    return method_of(params).networks(stage, settings.network.model_dump())
