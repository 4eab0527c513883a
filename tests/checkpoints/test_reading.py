"""Checkpoints of others: tensors are read, code never runs, and what is wrong is said in a sentence."""

import os
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from drdd.checkpoints.reading import check_weights, read_checkpoint
from drdd.errors import UserError


class _Attack:
    """Pickles to a call of os.system."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self._marker}",)


def test_tensors_and_plain_data_are_read(tmp_path: Path) -> None:
    content = {"step": 3, "model": {"a": torch.arange(4.0)}}
    torch.save(content, tmp_path / "a.pt")
    read = read_checkpoint(tmp_path / "a.pt")
    assert read["step"] == 3
    assert torch.equal(read["model"]["a"], content["model"]["a"])  # type: ignore[index]
    save_file({"a": torch.arange(4.0)}, tmp_path / "a.safetensors")
    assert torch.equal(read_checkpoint(tmp_path / "a.safetensors")["a"], torch.arange(4.0))


def test_code_is_refused_and_never_run(tmp_path: Path) -> None:
    marker = tmp_path / "was here"
    torch.save({"model": _Attack(marker)}, tmp_path / "bad.pt")
    with pytest.raises(
        UserError, match=r"holds code or objects besides tensors.*\(posix\.system\)"
    ):
        read_checkpoint(tmp_path / "bad.pt")
    assert not marker.exists()


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.98])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, name: str, kept: float) -> None:
    path = tmp_path / name
    content = {"a": torch.randn(1000)}
    save_file(content, path) if path.suffix == ".safetensors" else torch.save(content, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(UserError, match="damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
@pytest.mark.parametrize("content", [b"no checkpoint", b"hello world" * 99, b"\x80\x02}q\x00."])
def test_a_file_that_is_something_else_is_refused(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="damaged, cut short, or no checkpoint"):
        read_checkpoint(tmp_path / name)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_checkpoint(tmp_path / "none.pt")
    with pytest.raises(UserError, match="no regular file"):
        read_checkpoint(tmp_path)


def test_weights_must_be_the_networks_own() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    good = dict(net.state_dict())
    check_weights(net, good, "x: the noise network")
    wrong = {name: value for name, value in good.items() if name != "0.bias"}
    wrong |= {"9.weight": torch.zeros(1), "1.weight": torch.zeros(5, 3)}
    with pytest.raises(
        UserError,
        match=r"x: the noise network does not fit its configuration: 1 of 4 tensors are missing "
        r"\(0.bias\); 1 are not known \(9.weight\); "
        r"1 have another shape \(1.weight is \(5, 3\), not \(4, 3\)\)",
    ):
        check_weights(net, wrong, "x: the noise network")


def test_objects_are_refused_by_their_name(tmp_path: Path) -> None:
    torch.save({"options": Namespace(lr=1)}, tmp_path / "bad.pt")
    with pytest.raises(UserError, match=r"holds code or objects .*\(argparse\.Namespace\); save"):
        read_checkpoint(tmp_path / "bad.pt")
