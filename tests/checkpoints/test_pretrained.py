"""Pretrained starts: the same outputs as diffusers' own network, and an account of every value."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from drdd.checkpoints.pretrained import read_pretrained
from drdd.errors import UserError
from drdd.nets.adm import AdmConfig
from drdd.nets.adm_unet import AdmUNet
from tests.nets.filled import filled, pictures

TIMES = torch.tensor([17.0, 613.5])
SHAPE = (2, 3, 32, 64)
UNETS: dict[str, dict[str, Any]] = {
    "as DDPM's": {
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": None,
        "downsample_padding": 0,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "norm_eps": 1e-6,
    },
    "many heads": {
        "down_block_types": ("AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D"),
        "attention_head_dim": 8,
        "layers_per_block": 2,
        "out_channels": 6,
    },
    "sizes change in residual blocks": {
        "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "resnet_time_scale_shift": "scale_shift",
        "add_attention": False,
    },
}


def _unet2d(folder: Path, **changes: Any) -> Any:
    from diffusers import UNet2DModel

    settings: dict[str, Any] = {
        "sample_size": 32,
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        **changes,
    }
    net: Any = UNet2DModel(**settings)
    filled(net)
    net.save_pretrained(folder)
    return net


def _ours(folder: Path, parameterization: str = "vp_epsilon", channels: int = 3) -> nn.Module:
    pretrained = read_pretrained(folder, parameterization, channels)
    net = AdmUNet(pretrained.config)
    net.load_state_dict(pretrained.weights)
    return net.eval()


def _close(ours: Tensor, theirs: Tensor) -> None:
    assert float((ours - theirs).abs().max()) < 1e-5 * float(theirs.abs().max())


@pytest.mark.parametrize("name", UNETS)
@torch.inference_mode()
def test_a_unet2d_is_the_same_function_here(tmp_path: Path, name: str) -> None:
    theirs = _unet2d(tmp_path, **UNETS[name])
    x = pictures(name, *SHAPE)
    wanted = theirs(x, TIMES).sample
    _close(_ours(tmp_path)(x, TIMES), wanted[:, :3])


def test_attention_under_its_older_names(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    theirs = _unet2d(tmp_path, **UNETS["as DDPM's"])
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = {}
    for name, value in load_file(path).items():
        for new, older in old.items():
            name = name.replace(f".{new}.", f".{older}.")
        tensors[name] = value
    save_file(tensors, path)
    x = pictures("old", *SHAPE)
    with torch.inference_mode():
        _close(_ours(tmp_path)(x, TIMES), theirs(x, TIMES).sample)


def _guided(path: Path, out_channels: int = 6) -> AdmUNet:
    net = AdmUNet(AdmConfig(3, out_channels, 32, (1, 2), 1, (2,), head_channels=16))
    filled(net)
    torch.save(net.state_dict(), path)
    return net


@torch.inference_mode()
def test_guided_diffusion_keeps_the_mean_and_begins_without_its_condition(tmp_path: Path) -> None:
    theirs = _guided(tmp_path / "uncond.pt")
    x, condition = pictures("x", *SHAPE), pictures("condition", *SHAPE)
    wanted = theirs(x, TIMES)[:, :3]
    pretrained = read_pretrained(tmp_path / "uncond.pt", "vp_epsilon", 6, head_channels=16)
    net = AdmUNet(pretrained.config)
    net.load_state_dict(pretrained.weights)
    _close(net(torch.cat([x, condition], dim=1), TIMES), wanted)


@pytest.mark.parametrize("channels", [3, 6])
@pytest.mark.parametrize("out_channels", [3, 6])
def test_every_value_is_accounted_for(tmp_path: Path, channels: int, out_channels: int) -> None:
    theirs = _guided(tmp_path / "uncond.pt", out_channels)
    pretrained = read_pretrained(tmp_path / "uncond.pt", "vp_epsilon", channels, head_channels=16)
    count = {row.what: row.values for row in pretrained.account}
    in_file = sum(value.numel() for value in theirs.state_dict().values())
    in_net = sum(value.numel() for value in AdmUNet(pretrained.config).state_dict().values())
    assert count["loaded"] + count.get("skipped", 0) == in_file
    assert count["loaded"] + count.get("new, at 0", 0) == in_net
    assert ("skipped" in count) == (out_channels == 6)
    assert ("new, at 0" in count) == (channels == 6)


def test_the_scheduler_says_what_was_predicted(tmp_path: Path) -> None:
    _unet2d(tmp_path, **UNETS["as DDPM's"])
    said = tmp_path / "scheduler_config.json"
    said.write_text(json.dumps({"prediction_type": "v_prediction", "beta_schedule": "linear"}))
    assert read_pretrained(tmp_path, "vp_v").config.channels == 32
    with pytest.raises(
        UserError, match=r"predicts v, but train\.noise\.parameterization is vp_epsilon"
    ):
        read_pretrained(tmp_path, "vp_epsilon")
    said.write_text(json.dumps({"beta_schedule": "squaredcos_cap_v2"}))
    with pytest.raises(UserError, match="beta_schedule is 'squaredcos_cap_v2', but only 1000"):
        read_pretrained(tmp_path, "vp_epsilon")
    said.unlink()
    with pytest.raises(UserError, match=r"parameterization is edm: set it to vp_epsilon"):
        read_pretrained(tmp_path, "edm")


def test_a_start_that_does_not_fit_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "uncond.pt"
    whole = dict(_guided(path).state_dict())

    def refused(said: str, weights: object, parameterization: str = "vp_epsilon") -> None:
        torch.save(weights, path)
        with pytest.raises(UserError, match=said):
            read_pretrained(path, parameterization, head_channels=16)

    without = {name: value for name, value in whole.items() if name != "out.0.bias"}
    refused(r"1 of \d+ tensors are missing \(out.0.bias\)", without)
    refused(r"1 are not known \(label_emb", whole | {"label_emb.weight": torch.zeros(9, 128)})
    refused(r"another shape \(out.0.bias is \(3,\)", whole | {"out.0.bias": torch.zeros(3)})
    refused("its output has 5 channels", whole | {"out.2.weight": torch.zeros(5, 32, 3, 3)})
    refused("names with tensors, found state_dict", {"state_dict": whole})
    refused("such as input_blocks.0.0.weight, found a", {"a": torch.zeros(1)})
    refused("predicts epsilon, but train.noise.parameterization is vp_v: set it to", whole, "vp_v")
    torch.save(whole, path)
    with pytest.raises(
        UserError, match=r"64 channels do not divide by 24 a head; set train\.noise"
    ):
        read_pretrained(path, "vp_epsilon", head_channels=24)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match="damaged"):
        read_pretrained(path, "vp_epsilon")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"_class_name": "UNet2DConditionModel"}, "_class_name is 'UNet2DConditionModel', not"),
        ({"time_embedding_type": "fourier"}, "time_embedding_type is 'fourier', not 'positional'"),
        ({"down_block_types": ["SkipDownBlock2D", "DownBlock2D"]}, "has SkipDownBlock2D"),
        ({"up_block_types": ["UpBlock2D", "AttnUpBlock2D"]}, "attention is at other levels"),
        ({"upsample_type": "resnet"}, "by conv on the way down and by resnet on the way up"),
        ({"block_out_channels": [32, 80]}, "no multiples of the first"),
        ({"layers_per_block": 2}, r"tensors are missing \("),
    ],
)
def test_a_unet2d_with_no_counterpart_is_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    _unet2d(tmp_path, **UNETS["as DDPM's"])
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | changes))
    with pytest.raises(UserError, match=said):
        read_pretrained(tmp_path, "vp_epsilon")


def test_a_folder_that_is_no_unet2d_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json: no such file"):
        read_pretrained(tmp_path, "vp_epsilon")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        read_pretrained(tmp_path, "vp_epsilon")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(UserError, match="holds list, not a mapping"):
        read_pretrained(tmp_path, "vp_epsilon")
