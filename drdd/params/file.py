"""Reading params.yaml: OmegaConf reads and overrides it, pydantic validates it.

A file is refused with all its errors at once, worded by errors.py.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from yaml import YAMLError

from drdd.errors import UserError
from drdd.params.degradations import DEGRADATIONS
from drdd.params.errors import explain, nearest
from drdd.params.schema import Params
from drdd.params.training import NETWORKS

FILE = "params.yaml"


def load(path: Path | str = FILE, overrides: Sequence[str] = ()) -> Params:
    """Read and validate params, after applying overrides of the form "train.noise.images=100".

    Raises UserError that lists every error of the file at once.
    """
    return validate(read(path, overrides), str(path))


def read(path: Path | str = FILE, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The file's plain content with overrides applied; an override's key must exist in the file."""
    try:
        config = OmegaConf.load(path)
        keys = _leaf_keys(OmegaConf.to_container(config))
        for override in overrides:
            key = override.partition("=")[0].strip()
            if "=" not in override:
                raise UserError(f"override {override!r}: write it as key=value")
            if key not in keys:
                raise UserError(f"override {override!r}: {path} has no {key!r}{nearest(key, keys)}")
        merged = OmegaConf.merge(config, OmegaConf.from_dotlist(list(overrides)))
        content = OmegaConf.to_container(merged, resolve=True)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run this in the project's folder") from None
    except (OmegaConfBaseException, YAMLError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a mapping of sections, not {type(content).__name__}")
    return {str(key): value for key, value in content.items()}


def overridden(path: Path | str, overrides: Sequence[str]) -> str:
    """The text of a valid params.yaml that has the overrides in it. Raises UserError as `load`."""
    content = read(path, overrides)
    validate(content, str(path))
    return OmegaConf.to_yaml(OmegaConf.create(content))


def validate(content: dict[str, Any], origin: str = FILE) -> Params:
    """Check plain content against the schema."""
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        tagged = {"kind": DEGRADATIONS, "family": NETWORKS}
        lines = explain(error, content, Params, tagged)
        listed = "\n  ".join(lines)
        raise UserError(f"{origin}: {len(lines)} error(s)\n  {listed}") from None


def _leaf_keys(content: Any, prefix: str = "") -> set[str]:
    keys: set[str] = set()
    if isinstance(content, dict):
        for key, value in content.items():
            keys |= {f"{prefix}{key}"} | _leaf_keys(value, f"{prefix}{key}.")
    return keys
