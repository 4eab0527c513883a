"""Which networks a run trains, and how they sample: one definition for training and the model folder."""

from drdd.diffusion.methods import Method, Sampling
from drdd.nets.families import NetworkConfig, network_config
from drdd.params import Diffusion, Params, TrainNoise, TrainResidual


def noise_channels(settings: TrainNoise) -> int:
    """x_t, with its condition below where there is one."""
    return 3 if settings.conditioning == "none" else 6


def noise_network(settings: TrainNoise) -> NetworkConfig:
    """x_t, with its condition where there is one -> eps. Not for a pretrained start."""
    return network_config(in_channels=noise_channels(settings), **settings.network.model_dump())


def residual_networks(
    settings: TrainResidual, diffusion: Diffusion, method: Method
) -> dict[str, NetworkConfig]:
    """What the stage that learns from pairs trains: the residual net, or the rival's network(s)."""
    network = settings.network.model_dump()
    if method == "regression":
        return {"residual": network_config(in_channels=3, **network)}
    if method == "coupled" and diffusion.coupled_networks == 1:
        return {"residual": network_config(in_channels=6, out_channels=6, **network)}
    if method == "coupled":
        return {part: network_config(in_channels=6, **network) for part in ("residual", "noise")}
    return {"residual": network_config(in_channels=6, **network).with_difference()}


def sampling_of(params: Params) -> Sampling:
    """How the trained networks restore."""
    diffusion = params.diffusion.model_dump(exclude={"coupled_networks"})
    noise = params.train.noise
    return Sampling(
        method=params.method,
        conditioning=noise.conditioning,
        parameterization=noise.parameterization,
        **diffusion,
    )
