"""What a file is that is named as a checkpoint: by its first bytes, whatever its suffix says."""

import zipfile
from pathlib import Path, PurePosixPath

from drdd.errors import UserError
from drdd.first_bytes import HEAD, ZIP, FileKind, kind_of

_WEIGHTS = {".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".h5", ".onnx"}
# Where the first bytes say nothing: the parts of checkpoints of other programs.
_BY_NAME = {
    ".index": "a part of a checkpoint of TensorFlow",
    ".meta": "a part of a checkpoint of TensorFlow",
    ".pb": "a graph of TensorFlow",
    ".msgpack": "a checkpoint of Flax",
    ".onnx": "an ONNX model",
}
_EXPORT = "export the weights with torch or safetensors"


def kind_at(path: Path) -> FileKind | None:
    """What the file is, None when that is not known. Raises UserError for none, and an empty one."""
    if path.is_dir():
        raise UserError(f"{path}: no regular file but a folder; name the file in it")
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: no regular file")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if not head:
        raise UserError(f"{path}: an empty file, damaged or cut short; get the file again")
    return kind_of(head)


def no_checkpoint(path: Path, kind: FileKind) -> UserError:
    return UserError(f"{path}: {kind.name}, no checkpoint", kind.advice)


def refuse_parts(path: Path) -> None:
    """Raise UserError for what only its name tells: a part of another program's checkpoint."""
    suffix = path.suffix.lower()
    if suffix.startswith(".data-"):
        suffix = ".index"
    if name := _BY_NAME.get(suffix):
        raise UserError(f"{path}: {name}, no checkpoint of torch or safetensors", _EXPORT)


def refuse_other_zip(path: Path) -> None:
    """Raise UserError for a whole zip archive that torch.save has not written."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        names = [PurePosixPath(name) for name in archive.namelist()]
    if any(name.name == "constants.pkl" or "code" in name.parts[:2] for name in names):
        raise UserError(
            f"{path}: a TorchScript program, which holds code", "save its state_dict() with torch"
        )
    if any(name.name == "data.pkl" for name in names):
        return
    if names and all(name.suffix == ".npy" for name in names):
        raise UserError(
            f"{path}: arrays of NumPy, no checkpoint", "save them with torch or safetensors"
        )
    inner = next((str(name) for name in names if name.suffix.lower() in _WEIGHTS), "")
    raise UserError(f"{path}: {ZIP.name}" + (f" with {inner} in it" if inner else ""), ZIP.advice)
