"""Read the networks of a model folder, to begin another training of the same networks from them."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from drdd.checkpoints.folder import read_model
from drdd.checkpoints.reading import check_weights
from drdd.errors import UserError
from drdd.nets.families import NetworkConfig, build, described

Weights = Mapping[str, Mapping[str, Tensor]]


def read_warm_start(
    folder: Path, networks: Mapping[str, NetworkConfig], method: str
) -> dict[str, dict[str, Tensor]]:
    """The published weights (EMA, float32) of each of `networks`, by part.

    networks: those that the residual stage trains under `method`. Raises UserError, which lists every
    difference, when the model is of another method or has other networks.
    """
    saved = read_model(folder)
    if saved.sampling.method != method:
        raise UserError(
            f"train.residual.warm_start: {folder} is a model of method {saved.sampling.method!r}, "
            f"but params.yaml trains method {method!r}; set method: {saved.sampling.method}, or "
            "train.residual.warm_start: none"
        )
    differences = [
        difference
        for part, config in networks.items()
        for difference in _differences(part, saved.networks.get(part), config)
    ]
    if differences:
        raise UserError(
            f"train.residual.warm_start: {folder} has another network: {'; '.join(differences)}; "
            "make train.residual.network equal to it, or set train.residual.warm_start: none"
        )
    for part, config in networks.items():
        check_weights(build(config), saved.weights[part], f"{folder}: the {part} network")
    return {part: saved.weights[part] for part in networks}


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
