"""Read networks of a model folder or of a trained stage, to begin another training of the same networks."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from drdd.checkpoints.folder import read_model
from drdd.checkpoints.reading import check_weights
from drdd.checkpoints.trained import Trained, read_trained
from drdd.errors import UserError
from drdd.methods.method import Method
from drdd.nets.families import NetworkConfig, build, described


def read_start(
    path: Path, stage: str, networks: Mapping[str, NetworkConfig], method: Method
) -> dict[str, dict[str, Tensor]]:
    """The weights (EMA, float32) of each of `networks`, by part, without what `method.adapt` adds.

    path: a model folder or the weights.safetensors of a stage; networks: those that `stage` trains under
    `method`. Raises UserError, which lists every difference, when the model is of another method, has
    other networks or, for the noise stage, another parameterization.
    """
    found, sampling = _read(path, stage), method.sampling
    if found.method != sampling.method:
        raise UserError(
            f"it is a model of method {found.method!r}, but params.yaml trains method "
            f"{sampling.method!r}",
            f"set method: {found.method}, or train.{stage}.start: scratch",
        )
    differences = [
        difference
        for part, config in networks.items()
        for difference in _differences(part, found.networks.get(part), config)
    ]
    expected = sampling.parameterization
    if stage == "noise" and found.parameterization != expected:
        differences.append(f"parameterization is {found.parameterization}, expected {expected}")
    if differences:
        settings = "network, conditioning and parameterization" if stage == "noise" else "network"
        raise UserError(
            f"it has another network: {'; '.join(differences)}",
            f"make {settings} of train.{stage} equal to it, or set train.{stage}.start: scratch",
        )
    return {
        part: _unadapted(part, config, method, found.weights[part])
        for part, config in networks.items()
    }


def _read(path: Path, stage: str) -> Trained:
    try:
        if path.is_dir():
            saved = read_model(path)
            sampling = saved.sampling
            return Trained(
                saved.weights, saved.networks, sampling.method, sampling.parameterization
            )
        return read_trained(path)
    except UserError as error:
        theirs = "a checkpoint of guided diffusion or diffusers needs network: {family: pretrained}"
        ours = "name a model folder of drdd or the weights.safetensors of a stage"
        raise UserError(str(error), f"{ours}; {theirs}" if stage == "noise" else ours) from None


def _differences(part: str, found: NetworkConfig | None, expected: NetworkConfig) -> list[str]:
    if found is None:
        return [f"it holds no {part} network"]
    theirs, ours = described(found), described(expected)
    # The settings of different families cannot be compared.
    names = ["family"] if theirs["family"] != ours["family"] else list(ours)
    return [
        f"{part} {name} is {theirs[name]}, expected {ours[name]}"
        for name in names
        if theirs[name] != ours[name]
    ]


def _unadapted(
    part: str, config: NetworkConfig, method: Method, weights: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The weights of the network itself, from those of the network as `method` wraps it."""
    net = build(config)
    adapted = method.adapt(part, net)
    check_weights(adapted, weights, f"its {part} network")
    adapted.load_state_dict(weights)
    return net.state_dict()
