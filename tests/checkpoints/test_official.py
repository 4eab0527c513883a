"""Ours against numbers recorded from the authors' code (docs/recorded-numbers.md)."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from drdd.checkpoints.folder import TaskUse, load_model, save_model
from drdd.checkpoints.official import adm_config, rddm_config, read_official, residual_names
from drdd.errors import UserError
from drdd.nets.adm import AdmConfig
from drdd.nets.adm_unet import AdmUNet
from drdd.nets.compact import CompactConfig
from drdd.nets.compact_unet import CompactUNet
from drdd.nets.rddm import RddmConfig
from drdd.nets.rddm_unet import RddmUNet, standardised
from tests.nets.filled import filled, noise, pictures, probes, value_of

RECORDED = json.loads((Path(__file__).parent / "official.json").read_text())
TWO, ONE = torch.tensor([17.0, 613.5]), torch.tensor([993.6])
RDDM = {
    "rddm small": (RddmConfig(6, 3, 16, (1, 2, 4)), (2, 6, 32, 64), TWO),
    "rddm paper": (RddmConfig(), (1, 6, 64, 64), ONE),
}
ADM = {
    "adm small": (AdmConfig(6, 3, 32, (1, 2, 2), 1, (2, 4), True, 32), (2, 6, 64, 128), TWO),
    "adm learned variance": (
        AdmConfig(3, 6, 32, (1, 1, 2), 2, (4,), True, 16),
        (2, 3, 64, 64),
        TWO,
    ),
    "adm paper": (AdmConfig(6), (1, 6, 64, 64), ONE),
}


def _theirs(name: str) -> dict[str, Tensor]:
    """The authors' residual net, filled, under their own names."""
    found = {}
    for line in RECORDED["names"][name]:
        key, _, shape = line.partition(" ")
        found[key] = value_of(key, torch.empty([int(n) for n in shape.split("x")]))
    return found


@cache
def _net(name: str) -> nn.Module:
    if name in ADM:
        return filled(AdmUNet(ADM[name][0]))
    net = RddmUNet(RDDM[name][0])
    net.load_state_dict(residual_names(_theirs(name)))
    return net.eval()


def _assert_recorded(values: Tensor, recorded: list[float], tolerance: float) -> None:
    """Relative to the largest value; sums, relative to the sum of absolute values."""
    values = values.detach()
    got, wanted = torch.tensor(probes(values)), torch.tensor(recorded)
    assert float((got[:-2] - wanted[:-2]).abs().max()) < tolerance * float(values.abs().max())
    assert float((got[-2:] - wanted[-2:]).abs().max()) < tolerance * float(wanted[-1])


@pytest.mark.parametrize("name", [*RDDM, *ADM])
def test_outputs_and_gradients_are_the_authors(name: str) -> None:
    _, shape, time = {**RDDM, **ADM}[name]
    x = pictures(name, *shape).requires_grad_("gradient" in RECORDED[name])
    output = _net(name)(x, time)
    _assert_recorded(output, RECORDED[name]["output"], 1e-5)
    if x.requires_grad:
        output.sin().sum().backward()
        assert x.grad is not None
        _assert_recorded(x.grad, RECORDED[name]["gradient"], 1e-4)


@pytest.mark.parametrize("name", RDDM)
def test_sizes_are_read_off_the_residual_nets_weights(name: str) -> None:
    assert rddm_config(residual_names(_theirs(name))) == RDDM[name][0]


@pytest.mark.parametrize("name", ADM)
def test_sizes_are_read_off_the_noise_nets_weights(name: str) -> None:
    config = ADM[name][0]
    with torch.device("meta"):
        weights = AdmUNet(config).state_dict()
    assert adm_config(weights, config.head_channels) == config


def test_other_sizes_are_read_off_too() -> None:
    for config in (
        AdmConfig(3, 3, 32, (1,), 2, (), False),
        AdmConfig(3, 3, 64, (1, 3), 3, (1, 2), True),
        AdmConfig(3, 3, 64, (1, 2, 2, 4), 1, (4,), True, scale_shift=False, resblock_updown=False),
    ):
        with torch.device("meta"):
            weights = AdmUNet(config).state_dict()
        assert adm_config(weights, config.head_channels) == config


def official_checkpoint(path: Path, kind: str) -> Path:
    """A file laid out as the authors' trainer writes it."""
    parts = {f"res_model.unet.{k}": v for k, v in _theirs(f"rddm {kind}").items()}
    parts |= {f"noise_model.{k}": v for k, v in _net(f"adm {kind}").state_dict().items()}
    parts["betas_cumsum"] = torch.zeros(1000)
    ema = {f"ema_model.{k}": v for k, v in parts.items()}
    ema |= {f"online_model.{k}": torch.zeros(1) for k in parts}
    ema |= {"initted": torch.tensor(True), "step": torch.tensor(300_000)}
    content = {
        "step": 300_000,
        "model": {},
        "ema": ema,
        "opt0": {"state": {}},
        "opt1": {},
        "scaler": None,
    }
    torch.save(content, path)
    return path


@pytest.mark.parametrize("kind", ["small", "paper"])
def test_an_imported_checkpoint_samples_what_the_authors_code_sampled(
    tmp_path: Path, kind: str
) -> None:
    """Every state of a whole 2 + 2-step sample, through a saved and loaded model folder."""
    official = read_official(
        official_checkpoint(tmp_path / "DRDD_AiO5.pt", kind),
        head_channels=32 if kind == "small" else 64,
    )
    save_model(
        tmp_path / "m", official.weights, official.configs, official.sampling, {"all": TaskUse()}
    )
    model = load_model(tmp_path / "m")
    name, shape = f"sample {kind}", (1, 3, 64, 64)
    with torch.inference_mode():
        states = model.method.trajectory(
            model.nets, pictures(name, *shape), lambda purpose: noise(name, *shape)
        )
        walked = [state.image for state in states if state.name != "estimate"]
    for state, recorded in zip(walked, RECORDED[name]["states"], strict=True):
        _assert_recorded(state, recorded, 1e-4)


def test_what_is_no_official_checkpoint_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = official_checkpoint(tmp_path / "a.pt", "small")
    whole: dict[str, Any] = torch.load(path, weights_only=True)

    def refused(said: str, **ema: Tensor | None) -> None:
        changed = {**whole["ema"], **ema}
        torch.save({**whole, "ema": {k: v for k, v in changed.items() if v is not None}}, path)
        with pytest.raises(UserError, match=said):
            read_official(path, head_channels=32)

    noise_part, residual_part = "ema_model.noise_model.", "ema_model.res_model.unet."
    refused(r"1 of 216 tensors are missing \(out.0.bias\)", **{f"{noise_part}out.0.bias": None})
    refused(r"1 are not known \(more\)", **{f"{noise_part}more": torch.zeros(1)})
    refused(
        r"stem.bias is \(2,\), not \(16,\)", **{f"{residual_part}init_conv.bias": torch.zeros(2)}
    )
    refused("sizes cannot be read off", **{f"{residual_part}final_conv.weight": None})
    torch.save(whole, path)
    with pytest.raises(UserError, match="64 channels do not divide by 24 a head; set the channels"):
        read_official(path, head_channels=24)
    torch.save({"weights": {}}, path)
    with pytest.raises(UserError, match="model, ema and step, found weights"):
        read_official(path)
    torch.save({"ema": {"ema_model.net.a": torch.zeros(1)}}, path)
    with pytest.raises(UserError, match=r"res_model.unet.\* and noise_model.\*, found net"):
        read_official(path)


@pytest.mark.parametrize("name", ["rddm small", "adm small"])
def test_a_batch_is_its_images_in_any_order_and_layout(name: str) -> None:
    _, shape, time = {**RDDM, **ADM}[name]
    net, x = _net(name), pictures(name, *shape)
    with torch.inference_mode():
        whole = net(x, time)
        flipped = net(x.flip(0).contiguous(memory_format=torch.channels_last), time.flip(0)).flip(0)
    torch.testing.assert_close(flipped, whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["rddm small", "adm small", "compact"])
def test_bfloat16_is_float32_to_its_own_precision(name: str) -> None:
    """bf16 keeps 8 bits: a few steps of rounding through some dozen layers stay below 3 %."""
    if name == "compact":
        net: nn.Module = filled(CompactUNet(CompactConfig(6, 3, (16, 32))))
        shape, time = (2, 6, 32, 32), TWO
    else:
        (_, shape, time), net = {**RDDM, **ADM}[name], _net(name)
    x = pictures(name, *shape)
    with torch.inference_mode():
        exact = net(x, time)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = net(x, time).float()
    assert float((rounded - exact).square().mean().sqrt() / exact.square().mean().sqrt()) < 0.03


@pytest.mark.parametrize("name", ["rddm small", "adm small"])
def test_sizes_that_are_no_multiple_are_refused(name: str) -> None:
    for height, width in ((32, 34), (2, 32), (1, 1)):
        with pytest.raises(ValueError, match=r"must be multiples of 4, got"):
            _net(name)(torch.zeros(1, 6, height, width), ONE)


def test_weights_standardised_once_are_the_same_network() -> None:
    name = "rddm small"
    _, shape, time = RDDM[name]
    net = _net(name)
    once = standardised(net)
    assert not any(type(m).__name__ == "StandardisedConv" for m in once.modules())
    with torch.inference_mode():
        torch.testing.assert_close(
            once(pictures(name, *shape), time), net(pictures(name, *shape), time)
        )


def test_channels_must_divide_among_heads() -> None:
    with pytest.raises(ValueError, match="32 channels do not divide by 24 a head"):
        AdmUNet(AdmConfig(3, 3, 32, (1,), 1, (1,), head_channels=24))


@pytest.mark.parametrize(
    "make", [lambda: RddmUNet(RDDM["rddm small"][0]), lambda: AdmUNet(ADM["adm small"][0])]
)
def test_every_weight_of_a_fresh_network_has_a_finite_gradient(make: Any) -> None:
    torch.manual_seed(0)
    net = make()
    net(torch.rand(2, 6, 16, 16), TWO).square().mean().backward()
    for parameter in net.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
