"""A base so small that it is made in no time, in place of the one that ships."""

from pathlib import Path

import pytest
import torch

from drdd.base import shipped
from drdd.checkpoints.folder import TaskUse, save_model
from drdd.nets.families import build
from drdd.params import Params
from drdd.training.settings import method_of, networks_of, sampling_of
from infra.base.pack import pack


def candidate(folder: Path, params: Params, seed: int = 0) -> Path:
    """A model folder of the params' own networks with random weights, as `evaluate` writes one."""
    torch.manual_seed(seed)
    method = method_of(params)
    networks = {
        name: config
        for stage in method.stages
        for name, config in networks_of(params, stage).items()
    }
    weights = {}
    for name, config in networks.items():
        net = method.adapt(name, build(config))
        weights[name] = {key: torch.randn_like(w) / 10 for key, w in net.state_dict().items()}
    save_model(folder, weights, networks, sampling_of(params), {"haze": TaskUse()})
    return folder


def ship(folder: Path, params: Params, monkeypatch: pytest.MonkeyPatch, seed: int = 0) -> Path:
    """Packs a candidate, and lets drdd take it for the base; its model folder."""
    model = folder / "base" / "model"
    pack(candidate(folder / f"candidate-{seed}", params, seed), model)
    monkeypatch.setattr(shipped, "MODEL", model)
    return model


def ship_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "MODEL", folder / "nowhere" / "model")
