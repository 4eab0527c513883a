"""A file that is named as a checkpoint and is something else: said in one sentence, with what to do.

What can be read is, whatever the suffix says.
"""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor

from drdd.checkpoints.diffusers import read_unet2d
from drdd.checkpoints.folder import CONFIG, WEIGHTS, load_model
from drdd.checkpoints.official import read_official
from drdd.checkpoints.pretrained import read_pretrained
from drdd.checkpoints.reading import read_checkpoint, read_shapes
from drdd.checkpoints.trained import read_trained
from drdd.errors import UserError
from drdd.metrics.inception import Inception
from drdd.metrics.lpips import Lpips
from drdd.registry.location import folder_of
from tests.inference.test_engine import make_model

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1)}


def _torch(content: Any = TENSORS, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def _zip(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


def _arrays() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    return buffer.getvalue()


def _script() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), buffer)
    return buffer.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 1024\n"
OTHERS = {
    "lfs": (POINTER, r"a pointer of Git LFS, .*; run `git lfs pull`"),
    "dvc": (
        b"outs:\n- md5: 0123\n  size: 1\n  path: a.pt\n",
        r"a pointer of DVC, .*; run `dvc pull`",
    ),
    "dvc with a working folder": (b"wdir: ..\nouts:\n- hash: md5\n", "a pointer of DVC"),
    "page": (b"<!DOCTYPE html>\n<html><title>Sign in</title>", "a web page, .*; download it again"),
    "drive": (b"\n<HTML><head><title>Virus scan warning", "a web page, .*; download it again"),
    "json": (b'{"error": "Repository not found"}', "JSON text, .*; download it again"),
    "s3": (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>',
        "an error message of a store, .*; download it again",
    ),
    "zip": (_zip(model__pt=b"x"), r"a zip archive with model\.pt in it; unpack it"),
    "gzip": (b"\x1f\x8b\x08\0" + bytes(60), "a gzip archive, .*; unpack it"),
    "tar": (b"a.pt".ljust(257, b"\0") + b"ustar\x0000", "a tar archive, .*; unpack it"),
    "onnx": (b"\x08\x07\x12\x07pytorch\x1a\x052.0", "an ONNX model, .*; export the weights"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5, as Keras writes it, .*; export the weights"),
    "tensorflow": (b'model_checkpoint_path: "model"', "a checkpoint of TensorFlow, .*; export"),
    "numpy": (_arrays(), "arrays of NumPy"),
    "script": (_script(), r"a TorchScript program, which holds code; save its state_dict\(\)"),
    "picture": (b"\x89PNG\r\n\x1a\n", "PNG, no checkpoint"),
    "empty": (b"", "an empty file, .*; get the file again"),
    "blank": (bytes(4096), "damaged, cut short, or no checkpoint"),
    "pickle": (pickle.dumps({"a": 1}), "damaged, cut short, or no checkpoint|a Python pickle"),
}


def _one_sentence(call: Callable[[], object], said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        call()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".safetensors", ".bin", ""])
@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_checkpoint_is_named(tmp_path: Path, kind: str, suffix: str) -> None:
    content, said = OTHERS[kind]
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    _one_sentence(lambda: read_checkpoint(path), said)


READERS: dict[str, Callable[[Path], object]] = {
    "official": read_official,
    "pretrained": lambda path: read_pretrained(path, "vp_epsilon"),
    "stage": read_trained,
    "shapes": read_shapes,
    "lpips": Lpips,
    "inception": Inception,
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_of_weights_names_a_pointer(tmp_path: Path, reader: str) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(POINTER)
    _one_sentence(lambda: READERS[reader](path), "a pointer of Git LFS.*; run `git lfs pull`")


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_model_folder_of_pointers_is_named(tmp_path: Path, name: str) -> None:
    folder = make_model(tmp_path / "model")
    (folder / name).write_bytes(POINTER)
    _one_sentence(lambda: load_model(folder), rf"{name}.*a pointer of Git LFS.*run `git lfs pull`")


def test_a_file_in_place_of_a_model_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(TENSORS, path)
    _one_sentence(lambda: folder_of(path), "is a file; a model is a folder with config.json; name")


def test_the_suffix_may_lie(tmp_path: Path) -> None:
    legacy = _torch(_use_new_zipfile_serialization=False)
    for name, content in {
        "zipped.safetensors": _torch(),
        "legacy.safetensors": legacy,
        "really.pt": save(TENSORS),
        "really.zip": save(TENSORS),
        "no suffix": _torch(),
        "a.ckpt": legacy,
        "b.BIN": _torch(),
    }.items():
        (tmp_path / name).write_bytes(content)
        _same(read_checkpoint(tmp_path / name))


def _same(read: dict[str, Tensor]) -> None:
    assert read.keys() == TENSORS.keys()
    assert all(torch.equal(read[name], TENSORS[name]) for name in TENSORS)


def _shards(folder: Path, stem: str, tensors: dict[str, Tensor]) -> Path:
    names = sorted(tensors)
    places = {name: f"{stem}-{n % 2 + 1:05}-of-00002.safetensors" for n, name in enumerate(names)}
    for shard in set(places.values()):
        save_file({n: tensors[n] for n in names if places[n] == shard}, folder / shard)
    index = folder / f"{stem}.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return index


def test_shards_are_read_by_their_index(tmp_path: Path) -> None:
    index = _shards(tmp_path, "model", TENSORS)
    _same(read_checkpoint(index))
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(POINTER)
    _one_sentence(
        lambda: read_checkpoint(index), r"model-00002-of-00002\.safetensors: a pointer of"
    )


@pytest.mark.parametrize("shard", ["../a.safetensors", "/etc/passwd", 3, ["a"], None])
def test_an_index_names_files_of_its_own_folder_alone(tmp_path: Path, shard: object) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": shard}}))
    _one_sentence(
        lambda: read_checkpoint(index), "names files outside its folder|no index of shards"
    )


@pytest.mark.parametrize("name", ["a.index", "a.data-00000-of-00001", "a.pb", "a.msgpack"])
def test_parts_of_other_programs_are_known_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\0\xffunknown")
    _one_sentence(lambda: read_checkpoint(tmp_path / name), "TensorFlow|Flax")


def test_a_settings_file_that_is_a_page_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("<!DOCTYPE html><html>")
    _one_sentence(
        lambda: read_unet2d(tmp_path), r"config\.json: damaged \(it is not JSON \(a web page"
    )
