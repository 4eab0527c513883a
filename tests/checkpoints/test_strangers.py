"""Model folders and checkpoints that claim more than they hold are refused before memory is taken."""

import io
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save

from drdd.checkpoints.folder import CONFIG, WEIGHTS, read_model
from drdd.checkpoints.pretrained import read_pretrained
from drdd.checkpoints.reading import read_checkpoint
from drdd.checkpoints.trained import read_trained
from drdd.errors import UserError
from drdd.shown import printable
from tests.inference.test_engine import make_model

MIB = 1024**2
# Above what the process has after its imports; the file of weights has less than one.
BOUND = 300 * MIB
MEASURE = """
import resource, sys
from pathlib import Path
from drdd.checkpoints.folder import load_model
from drdd.checkpoints.pretrained import read_pretrained
from drdd.errors import UserError
import drdd.checkpoints.diffusers, drdd.nets.adm_unet, drdd.nets.compact_unet, drdd.nets.rddm_unet
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
path = Path(sys.argv[2])
try:
    load_model(path) if sys.argv[1] == "folder" else read_pretrained(path, "vp_epsilon")
    print("loaded")
except UserError as error:
    print(error)
print(peak() - before)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


def _measured(kind: str, path: Path) -> tuple[str, int]:
    """What a fresh process says of a path, and the bytes of memory that it took for that."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, kind, str(path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said, grown = done.stdout.strip().splitlines()
    return said, int(grown)


def _changed(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    config = json.loads((folder / CONFIG).read_text())
    change(config)
    (folder / CONFIG).write_text(json.dumps(config))


@pytest.mark.slow
@pytest.mark.gate
@pytest.mark.parametrize(
    "claim",
    [
        {"family": "compact", "in_channels": 6, "channels": [4096] * 3, "blocks": 2},
        {"family": "compact", "in_channels": 3, "channels": [2**40] * 6},
        {"family": "adm", "in_channels": 6, "channels": 2048, "multipliers": [8] * 7, "blocks": 8},
        {"family": "rddm", "in_channels": 6, "dim": 4096, "multipliers": [1, 8, 64]},
    ],
)
def test_a_small_folder_that_claims_wide_networks_takes_no_memory(
    folder: Path, claim: dict[str, Any]
) -> None:
    assert sum(file.stat().st_size for file in folder.iterdir()) < MIB
    _changed(folder, lambda config: config["networks"].update(residual=claim))
    said, grown = _measured("folder", folder)
    assert "the residual network does not fit" in said or "damaged config.json" in said
    assert grown < BOUND


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["networks"]["residual"].update(channels="wide"),
        lambda c: c["networks"]["residual"].update(channels=[8] * 1000),
        lambda c: c["networks"]["residual"].update(blocks=10**9),
        lambda c: c["networks"]["residual"].update(blocks=True),
        lambda c: c["networks"]["residual"].update(blocks=1.0),
        lambda c: c["networks"]["residual"].update(in_channels=None),
        lambda c: c["networks"]["residual"].update(in_channels=-3),
        lambda c: c["networks"]["residual"].update(surprise=1),
        lambda c: c["networks"]["residual"].update(family=["compact"]),
        lambda c: c["networks"]["residual"].update(family="\x1b[2J"),
        lambda c: c.update(networks=[]),
        lambda c: c.update(networks={"\x1b[2J": {}}),
        lambda c: c.update(networks={f"n{i}": c["networks"]["residual"] for i in range(1000)}),
        lambda c: c["sampling"].update(steps=10**12),
        lambda c: c["sampling"].update(steps="1000"),
        lambda c: c["sampling"].update(noise_level=-1.0),
        lambda c: c["sampling"].update(residual_steps=10**9),
        lambda c: c["sampling"].update(conditioning="\x1b[2J"),
        lambda c: c.update(tasks="rain"),
        lambda c: c.update(tasks=["[red]"]),
        lambda c: c.update(more=1),
        lambda c: c.update(format=["drdd-5"] * 1000),
    ],
)
def test_a_config_of_wrong_types_is_refused_in_one_sentence(
    folder: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    _changed(folder, change)
    _refused(lambda: read_model(folder))


@pytest.mark.parametrize(
    "content", [b"[" * 200_000, b" " * (2 * MIB) + b"{}", b'{"format": NaN}', b"\xff", b"null"]
)
def test_a_config_that_is_deep_or_huge_is_refused(folder: Path, content: bytes) -> None:
    (folder / CONFIG).write_bytes(content)
    _refused(lambda: read_model(folder))


def _safetensors(header: bytes, data: bytes = b"", size: int | None = None) -> bytes:
    return (len(header) if size is None else size).to_bytes(8, "little") + header + data


def _entry(**changes: Any) -> bytes:
    return json.dumps(
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}
    ).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        _safetensors(b"{}", size=2**62),
        _safetensors(b"{}", size=2**26),
        _safetensors(b"{" + b" " * (5 * MIB) + b"}"),
        _safetensors(b"[" * 100_000),
        _safetensors(_entry(shape=[2**40]), bytes(8)),
        _safetensors(_entry(data_offsets=[0, 2**40]), bytes(8)),
        _safetensors(_entry(data_offsets=[8, 0]), bytes(8)),
        _safetensors(_entry(dtype="I64", shape=[1]), bytes(8)),
        _safetensors(_entry(), b""),
    ],
)
def test_a_header_that_lies_is_refused(folder: Path, tmp_path: Path, content: bytes) -> None:
    for path in (folder / WEIGHTS, tmp_path / "weights.safetensors"):
        path.write_bytes(content)
    _refused(lambda: read_model(folder))
    _refused(lambda: read_trained(tmp_path / "weights.safetensors"))
    _refused(lambda: read_checkpoint(tmp_path / "weights.safetensors"))


@pytest.mark.parametrize(
    "said", ["[" * 100_000, "{}", "[]", '{"networks": {"a": []}, "method": 1}', "NaN"]
)
def test_the_metadata_of_a_stage_is_checked_too(tmp_path: Path, said: str) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(save({"a": torch.zeros(1)}, metadata={"stage": said}))
    _refused(lambda: read_trained(path))


class _Made:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


def _repacked(source: Path, change: Callable[[str, bytes], bytes], how: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(buffer, "w", how) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return buffer.getvalue()


@pytest.mark.slow
def test_no_checkpoint_of_torch_grows_in_memory(tmp_path: Path) -> None:
    """A few kilobytes that become gigabytes: inflated, as a bytearray, or as a tensor of one value."""
    plain = tmp_path / "plain.pt"
    torch.save({"a": torch.zeros(2)}, plain)
    bombs = {}
    zeros = bytes(1024 * MIB)
    bombs["inflated"] = _repacked(
        plain, lambda name, old: zeros if name.endswith("data/0") else old, zipfile.ZIP_DEFLATED
    )
    made = io.BytesIO()
    torch.save({"a": torch.zeros(1).expand(2**15, 2**15)}, made)
    bombs["expanded"] = made.getvalue()
    call = pickle.dumps({"a": _Made(bytearray, 2 * 1024**3)}, protocol=2)
    bombs["bytearray"] = _repacked(
        plain, lambda name, old: call if name.endswith("data.pkl") else old, zipfile.ZIP_STORED
    )
    for name, content in bombs.items():
        path = tmp_path / f"{name}.pt"
        path.write_bytes(content)
        assert len(content) < 2 * MIB
        said, grown = _measured("file", path)
        assert said != "loaded", name
        assert grown < BOUND, name


@pytest.mark.slow
def test_a_folder_of_diffusers_that_claims_wide_networks_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"_class_name": "UNet2DModel", "block_out_channels": [8192] * 4})
    )
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(save({"a": torch.zeros(1)}))
    said, grown = _measured("file", tmp_path)
    assert "does not fit its configuration" in said
    assert grown < BOUND


@pytest.mark.parametrize(
    "settings",
    [
        {"block_out_channels": "wide"},
        {"block_out_channels": [0, 0]},
        {"block_out_channels": []},
        {"block_out_channels": 5},
        {"block_out_channels": [True] * 4},
        {"block_out_channels": [32] * 10_000, "down_block_types": ["DownBlock2D"] * 10_000},
        {"layers_per_block": 10**9},
        {"layers_per_block": "2"},
        {"out_channels": "3"},
        {"norm_num_groups": 0},
        {"down_block_types": 7},
        {"attention_head_dim": "8"},
        {"norm_eps": "x"},
        {"act_fn": ["silu"]},
        {"resnet_time_scale_shift": {}},
    ],
)
def test_settings_of_diffusers_of_wrong_types_are_refused(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(save({"a": torch.zeros(1)}))
    _refused(lambda: read_pretrained(tmp_path, "vp_epsilon"))


def test_what_is_whole_is_still_read(folder: Path) -> None:
    before = torch.get_rng_state()
    saved = read_model(folder)
    assert torch.equal(before, torch.get_rng_state())  # the check draws no number
    tensors = load_file(folder / WEIGHTS)
    assert sum(len(part) for part in saved.weights.values()) == len(tensors)


def _refused(use: Callable[[], Any]) -> None:
    with pytest.raises(UserError) as refused:
        use()
    said = str(refused.value)
    assert said == printable(said)
    assert len(said) < 600


def test_weights_that_are_not_finite_are_refused(folder: Path) -> None:
    """They would make a grey picture."""
    tensors = load_file(folder / WEIGHTS)
    name = next(iter(tensors))
    tensors[name] = torch.full_like(tensors[name], torch.nan)
    (folder / WEIGHTS).write_bytes(save(tensors))
    with pytest.raises(UserError, match="is not finite"):
        read_model(folder)


def test_no_channels_are_no_network(folder: Path) -> None:
    _changed(folder, lambda content: content["networks"]["residual"].update(channels=[]))
    with pytest.raises(UserError, match="residual"):
        read_model(folder)


def test_a_device_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "one.pt").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="no regular file"):
        read_checkpoint(tmp_path / "one.pt")
