"""What params say of a run: its method, and the settings of each of its stages."""

from drdd.methods import find
from drdd.methods.method import Method, Objective, Sampling
from drdd.nets.families import NetworkConfig
from drdd.params import Params, TrainNoise, TrainResidual


def sampling_of(params: Params) -> Sampling:
    """How the trained networks restore."""
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
    """A method that has no noise stage trains on pairs for the images of both."""
    noise, residual = params.train.noise, params.train.residual
    if stage == "noise":
        return noise
    if "noise" in find(params.method).stages:
        return residual
    return residual.model_copy(update={"images": noise.images + residual.images})


def objective_of(settings: TrainNoise | TrainResidual) -> Objective:
    if isinstance(settings, TrainNoise):
        return Objective()
    return Objective(balance=settings.balance == "relative", rollout=settings.rollout)


def networks_of(params: Params, stage: str) -> dict[str, NetworkConfig]:
    """The networks that a stage trains, unless it begins from a checkpoint that brings its own."""
    settings = stage_settings(params, stage)
    return method_of(params).networks(stage, settings.network.model_dump())
