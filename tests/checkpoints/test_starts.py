"""A model folder, or a stage's file, gives its networks back as a start, or says in what it differs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from drdd.checkpoints.folder import WEIGHTS, TaskUse, save_model
from drdd.checkpoints.starts import read_start
from drdd.checkpoints.trained import write_trained
from drdd.errors import UserError
from drdd.methods import find
from drdd.methods.method import Method
from drdd.nets.families import NetworkConfig, build, network_config
from drdd.nets.rddm import RddmConfig
from tests.nets.tiny import configs, random_weights, sampling

Weights = dict[str, dict[str, Tensor]]


def _method(**changes: Any) -> Method:
    chosen = sampling(**changes)
    return find(chosen.method)(chosen)


def _saved(folder: Path, method: str = "drdd") -> Weights:
    torch.manual_seed(0)
    parts = configs(method)
    weights = {part: random_weights(config) for part, config in parts.items()}
    save_model(folder, weights, parts, sampling(method=method), {"rain": TaskUse()})
    return weights


def _read(path: Path, asked: NetworkConfig, part: str = "residual", **changes: Any) -> Weights:
    """As the stage of that name reads it."""
    return read_start(path, part, {part: asked}, _method(**changes))


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
    found = read_start(tmp_path, "residual", asked, _method(method=method))
    assert list(found) == parts
    for part in parts:
        assert found[part].keys() == saved[part].keys()
        assert all(torch.equal(found[part][name], saved[part][name]) for name in found[part])


@pytest.mark.parametrize("as_file", [False, True])
@pytest.mark.parametrize("parameterization", ["paper", "vp_v", "flow"])
def test_a_noise_network_comes_back_whatever_it_predicts(
    tmp_path: Path, parameterization: str, as_file: bool
) -> None:
    """Other parameterizations than the paper's wrap the network, whose names then differ."""
    config = configs()["noise"]
    method = _method(parameterization=parameterization)
    torch.manual_seed(0)
    saved = random_weights(config)
    net = build(config)
    net.load_state_dict(saved)
    trained = method.adapt("noise", net).state_dict()
    path = tmp_path / ("weights.safetensors" if as_file else "model")
    if as_file:
        write_trained(path, trained, {"noise": config}, "drdd", parameterization)
    else:
        save_model(path, {"noise": trained}, {"noise": config}, method.sampling, {})
    found = _read(path, config, "noise", parameterization=parameterization)["noise"]
    assert found.keys() == saved.keys()
    assert all(torch.equal(found[name], saved[name]) for name in saved)
    said = f"parameterization is {parameterization}, expected edm"
    with pytest.raises(
        UserError, match=rf"{said}; make network, conditioning and param.*train\.noise"
    ):
        _read(path, config, "noise", parameterization="edm")


def test_a_conditioned_noise_network_is_another(tmp_path: Path) -> None:
    _saved(tmp_path)
    asked = configs(conditioning="estimate")["noise"]
    with pytest.raises(UserError, match=r"noise in_channels is 3, expected 6; make.*conditioning"):
        _read(tmp_path, asked, "noise", conditioning="estimate")


def test_other_steps_and_levels_are_no_difference(tmp_path: Path) -> None:
    saved = _saved(tmp_path)
    changes: dict[str, Any] = {
        "noise_level": 0.4,
        "residual_steps": 5,
        "noise_steps": 1,
        "eta": 1.0,
    }
    found = _read(tmp_path, configs()["residual"], **changes)
    assert all(torch.equal(found["residual"][k], v) for k, v in saved["residual"].items())


def test_the_weights_are_those_of_training_and_not_of_inference(tmp_path: Path) -> None:
    """A network for inference may hold standardised weights; training goes on from the raw ones."""
    config = RddmConfig(6, 3, 8, (1, 2))
    torch.manual_seed(0)
    weights = {name: torch.randn_like(w) for name, w in build(config).state_dict().items()}
    save_model(
        tmp_path, {"residual": weights}, {"residual": config}, sampling(), {"rain": TaskUse()}
    )
    found = _read(tmp_path, config)["residual"]
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_another_method_is_refused(tmp_path: Path) -> None:
    _saved(tmp_path, "regression")
    with pytest.raises(UserError, match=r"method 'regression', but params\.yaml trains.*'drdd'"):
        _read(tmp_path, configs()["residual"])


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
    with pytest.raises(UserError, match=rf"{said}.*make network of train\.residual equal"):
        _read(tmp_path, asked)


def test_a_network_that_is_not_there_is_said(tmp_path: Path) -> None:
    _saved(tmp_path, "coupled_two_networks")
    with pytest.raises(UserError, match="it holds no middle network"):
        _read(tmp_path, configs()["noise"], "middle", method="coupled_two_networks")


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    _saved(tmp_path)
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:1000])
    with pytest.raises(UserError, match="damaged, cut short, or no checkpoint"):
        _read(tmp_path, configs()["residual"])


def test_a_file_that_is_no_stages_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(
        UserError, match="has not the metadata of a trained stage; name a model folder of drdd"
    ):
        _read(path, configs()["residual"])
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UserError, match=r"damaged.*needs network: \{family: pretrained\}"):
        _read(path, configs()["noise"], "noise")


def test_a_folder_of_diffusers_needs_another_setting(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    save_file({"weight": torch.zeros(2)}, tmp_path / WEIGHTS)
    with pytest.raises(UserError, match=r"format None.*needs network: \{family: pretrained\}"):
        _read(tmp_path, configs()["noise"], "noise")


def test_the_same_stage_gives_the_same_bytes(tmp_path: Path) -> None:
    config = configs()["noise"]
    torch.manual_seed(0)
    weights = random_weights(config)
    for name in ("one", "two"):
        write_trained(tmp_path / name, weights, {"noise": config}, "drdd", "paper")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
