"""A model folder gives its networks back as a start, or says in what it differs."""

from pathlib import Path
from typing import Any

import pytest
import torch

from drdd.checkpoints.folder import WEIGHTS, save_model
from drdd.checkpoints.warm_start import read_warm_start
from drdd.errors import UserError
from drdd.nets.families import build, network_config
from drdd.nets.rddm import RddmConfig
from tests.nets.tiny import configs, random_weights, sampling


def _saved(folder: Path, method: str = "drdd") -> dict[str, Any]:
    torch.manual_seed(0)
    parts = configs(method)
    weights = {part: random_weights(config) for part, config in parts.items()}
    save_model(folder, weights, parts, sampling(method=method), ["rain"])
    return weights


@pytest.mark.parametrize(
    ("method", "parts"),
    [
        ("drdd", ["residual"]),
        ("regression", ["residual"]),
        ("coupled", ["residual"]),
        ("coupled_two_networks", ["residual", "noise"]),
    ],
)
def test_the_weights_come_back_to_the_bit(tmp_path: Path, method: str, parts: list[str]) -> None:
    saved = _saved(tmp_path, method)
    asked = {part: configs(method)[part] for part in parts}
    found = read_warm_start(tmp_path, asked, method)
    assert list(found) == parts
    for part in parts:
        assert found[part].keys() == saved[part].keys()
        assert all(torch.equal(found[part][name], saved[part][name]) for name in found[part])


def test_the_weights_are_those_of_training_and_not_of_inference(tmp_path: Path) -> None:
    """A network for inference may hold standardised weights; training goes on from the raw ones."""
    config = RddmConfig(6, 3, 8, (1, 2))
    torch.manual_seed(0)
    weights = {name: torch.randn_like(w) for name, w in build(config).state_dict().items()}
    save_model(tmp_path, {"residual": weights}, {"residual": config}, sampling(), ["rain"])
    found = read_warm_start(tmp_path, {"residual": config}, "drdd")["residual"]
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_another_method_is_refused(tmp_path: Path) -> None:
    _saved(tmp_path, "regression")
    with pytest.raises(UserError, match=r"method 'regression', but params\.yaml trains.*'drdd'"):
        read_warm_start(tmp_path, {"residual": configs()["residual"]}, "drdd")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channels": [8, 24]}, r"residual channels is \(8, 16\), expected \(8, 24\)"),
        (
            {"blocks": 2, "restores": False},
            "blocks is 1, expected 2; residual restores is True",
        ),
        ({"family": "rddm", "dim": 8}, "residual family is compact, expected rddm"),
    ],
)
def test_another_network_is_refused_with_all_that_differs(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    _saved(tmp_path)
    plain: dict[str, Any] = {"family": "compact", "channels": [8, 16], "restores": True}
    fields = changes if "family" in changes else plain | changes
    asked = network_config(in_channels=6, **fields)
    with pytest.raises(UserError, match=rf"{said}.*make train\.residual\.network equal"):
        read_warm_start(tmp_path, {"residual": asked}, "drdd")


def test_a_network_that_is_not_there_is_said(tmp_path: Path) -> None:
    _saved(tmp_path, "coupled_two_networks")
    with pytest.raises(UserError, match="it holds no middle network"):
        read_warm_start(tmp_path, {"middle": configs()["noise"]}, "coupled_two_networks")


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    _saved(tmp_path)
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:1000])
    with pytest.raises(UserError, match="damaged model file"):
        read_warm_start(tmp_path, {"residual": configs()["residual"]}, "drdd")
