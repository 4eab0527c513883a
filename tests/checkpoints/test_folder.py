"""The network keeps sizes; the model folder gives back what was saved, or says what is wrong."""

import json
from pathlib import Path

import pytest
import torch

from drdd.checkpoints.folder import CONFIG, FORMAT, WEIGHTS, TaskUse, load_model, save_model
from drdd.diffusion.keyed import keyed_generator, keyed_noise
from drdd.errors import UserError
from drdd.nets.compact import CompactConfig
from drdd.nets.compact_unet import CompactUNet
from tests.nets.tiny import configs, sampling

CONFIGS = {"noise": CompactConfig(3, 3, (8, 16)), "residual": CompactConfig(6, 3, (8, 16))}
SAMPLING = sampling()


def _nets() -> dict[str, CompactUNet]:
    torch.manual_seed(0)
    nets = {part: CompactUNet(config) for part, config in CONFIGS.items()}
    for net in nets.values():  # a fresh head is all zeros, which would hide mistakes
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return nets


def _save(folder: Path) -> dict[str, CompactUNet]:
    nets = _nets()
    weights = {part: net.state_dict() for part, net in nets.items()}
    save_model(folder, weights, CONFIGS, SAMPLING, {"rain": TaskUse(), "haze": TaskUse()})
    return nets


@pytest.mark.parametrize("config", list(CONFIGS.values()))
@pytest.mark.parametrize("size", [(4, 4), (8, 12), (20, 4)])
def test_the_network_keeps_the_size(config: CompactConfig, size: tuple[int, int]) -> None:
    net = CompactUNet(config)
    out = net(torch.randn(2, config.in_channels, *size), torch.tensor([3.0, 700.0]))
    assert out.shape == (2, 3, *size)


def test_the_network_hears_the_time() -> None:
    net = _nets()["noise"]
    x = torch.randn(1, 3, 8, 8)
    assert not torch.allclose(net(x, torch.tensor([1.0])), net(x, torch.tensor([900.0])))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    nets = _save(tmp_path)
    model = load_model(tmp_path)
    assert list(model.tasks) == ["haze", "rain"]
    assert model.sampling == SAMPLING
    assert model.factor == 4
    x, time = torch.randn(1, 6, 8, 8, generator=keyed_generator("x")), torch.tensor([10.0])
    torch.testing.assert_close(model.nets["residual"](x, time), nets["residual"](x, time))
    torch.testing.assert_close(model.nets["noise"](x[:, :3], time), nets["noise"](x[:, :3], time))


def test_the_same_model_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _save(tmp_path / name)
    for file in (WEIGHTS, CONFIG):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json is missing"):
        load_model(tmp_path)
    _save(tmp_path)
    weights = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(weights[: len(weights) // 2])
    with pytest.raises(UserError, match="damaged"):
        load_model(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(weights)
    config = json.loads((tmp_path / CONFIG).read_text())
    config["networks"]["noise"]["channels"] = [8, 24]
    (tmp_path / CONFIG).write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"noise network does not fit.* have another shape"):
        load_model(tmp_path)
    (tmp_path / CONFIG).write_text(json.dumps({"format": "other"}))
    with pytest.raises(UserError, match="format 'other'"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", r"format \[\], this version reads"),
        ('{"format": "FORMAT"}', r"damaged config\.json \(networks: Field required\)"),
        ('{"format": "FORMAT", "networks": {"noise": {}}}', r"damaged config\.json"),
        ('{"format": "FORMAT", "networks": [1]}', r"damaged config\.json"),
        ('{"format": "FORMAT", "networks": {}, "sampling": {"s": 1}}', r"damaged config\.json"),
    ],
)
def test_a_config_that_is_something_else_is_refused(
    tmp_path: Path, content: str, said: str
) -> None:
    _save(tmp_path)
    (tmp_path / CONFIG).write_text(content.replace("FORMAT", FORMAT))
    with pytest.raises(UserError, match=said):
        load_model(tmp_path)


def test_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    _save(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(UserError, match=r"is no model folder: model\.safetensors is missing"):
        load_model(tmp_path)


def test_what_cannot_be_restored_is_refused_in_one_sentence(tmp_path: Path) -> None:
    _save(tmp_path)
    model = load_model(tmp_path)
    good = torch.zeros(2, 3, 8, 8)
    assert model.restore(good, lambda purpose: torch.zeros_like(good)).shape == good.shape
    for bad, said in (
        (good[:, :, :3], "multiples of 4, got 3 x 8"),
        (good[:, :, :, :6], "multiples of 4, got 8 x 6"),
        (good[:, :1], r"must be \(B, 3, H, W\), got \(2, 1, 8, 8\)"),
        (good[0], r"must be \(B, 3, H, W\), got \(3, 8, 8\)"),
        (good.index_fill(3, torch.tensor([2]), float("nan")), "48 of 384 input values are NaN"),
    ):
        with pytest.raises(UserError, match=said):
            model.restore(bad, keyed_noise(0, [str(i) for i in range(len(bad))], bad))


@pytest.mark.parametrize("method", ["coupled", "coupled_two_networks", "regression"])
def test_baselines_are_models_like_any_other(tmp_path: Path, method: str) -> None:
    parts = configs(method)
    torch.manual_seed(0)
    weights = {part: CompactUNet(config).state_dict() for part, config in parts.items()}
    save_model(tmp_path, weights, parts, sampling(method=method), {"rain": TaskUse()})
    model = load_model(tmp_path)
    x = torch.rand(1, 3, 8, 8) * 2 - 1
    restored = model.restore(x, lambda purpose: torch.zeros_like(x))
    torch.testing.assert_close(restored, x)  # fresh heads predict nothing


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_restored_image_does_not_depend_on_its_batch(tmp_path: Path, eta: float) -> None:
    nets = _nets()
    weights = {part: net.state_dict() for part, net in nets.items()}
    save_model(tmp_path, weights, CONFIGS, sampling(eta=eta), {"rain": TaskUse()})
    model = load_model(tmp_path)
    images, ids = torch.rand(4, 3, 16, 24, generator=keyed_generator("i")) * 2 - 1, list("abcd")

    def restored(rows: list[int]) -> torch.Tensor:
        names = [ids[row] for row in rows]
        return model.restore(images[rows], keyed_noise(0, names, images[rows]))

    with torch.inference_mode():
        together = restored([0, 1, 2, 3])
        torch.testing.assert_close(restored([2, 0, 3, 1]), together[[2, 0, 3, 1]])
        for row in range(4):
            torch.testing.assert_close(restored([row]), together[row : row + 1])
