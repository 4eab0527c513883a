"""Reading params.yaml: OmegaConf reads it, presets and overrides change it, pydantic validates it.

A file is refused with all its errors at once, worded by errors.py. `${...}` is refused wherever it is:
DVC reads the same file and takes it for text, and OmegaConf would put secrets of the environment there.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from yaml import YAMLError

from drdd.degradations.catalogue import SCHEMAS
from drdd.errors import UserError
from drdd.params.errors import Tagged, explain, nearest
from drdd.params.presets import applied
from drdd.params.schema import Params
from drdd.params.training import NETWORKS
from drdd.params.yaml_text import (
    constructing,
    plain,
    read_yaml,
    refuse_mandatory,
    refuse_references,
    refuse_unbounded,
)
from drdd.params.yaml_words import refuse_surprises

FILE = "params.yaml"


def load(
    path: Path | str = FILE, overrides: Sequence[str] = (), presets: Sequence[str] = ()
) -> Params:
    """Read and validate params, after presets and overrides of the form "train.noise.images=100".

    Raises UserError that lists every error of the file at once.
    """
    return validate(read(path, overrides, presets), _origin(path, presets))


def read(
    path: Path | str = FILE, overrides: Sequence[str] = (), presets: Sequence[str] = ()
) -> dict[str, Any]:
    """The file's plain content with presets, then overrides applied.

    An override's key, or the section that it is in, must be in the file or in a preset; whether a
    section may have such a key is for `validate` to say.
    """
    try:
        config = parsed(read_yaml(path), str(path))
        if presets and OmegaConf.is_dict(config):
            without = cast(dict[str, Any], OmegaConf.to_container(config))
            config = OmegaConf.create(applied(without, presets))
        keys = _leaf_keys(OmegaConf.to_container(config))
        for override in overrides:
            key = override.partition("=")[0].strip()
            refuse_unbounded(key, "overrides")
            if "=" not in override or not key:
                raise UserError(f"override {override!r}: write it as key=value")
            if key not in keys and key.rpartition(".")[0] not in {*keys, ""}:
                raise UserError(f"override {override!r}: {path} has no {key!r}{nearest(key, keys)}")
            value = override.partition("=")[2]
            _refuse(value, f"override of {key!r}")
        with constructing("overrides"):
            merged = OmegaConf.merge(config, OmegaConf.from_dotlist(list(overrides)))
        content = OmegaConf.to_container(merged)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run this in the project's folder") from None
    except (OmegaConfBaseException, YAMLError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def parsed(text: str, origin: str) -> DictConfig | ListConfig:
    """The content of bounded YAML, in which nothing is to be resolved.

    Raises UserError for `${...}` and what is no mapping, OmegaConfBaseException and YAMLError for what
    cannot be read.
    """
    content = _refuse(text, origin)
    if content is not None and not isinstance(content, dict):
        raise UserError(f"{origin} must hold a mapping of sections, not {type(content).__name__}")
    with constructing(origin):
        return OmegaConf.load(io.StringIO(text))


def _refuse(text: str, origin: str) -> Any:
    """The plain content of bounded YAML, if there is nothing in it that is refused."""
    refuse_unbounded(text, origin)
    with constructing(origin):
        refuse_surprises(text, origin)
    content = plain(text, origin)
    refuse_references(content, origin)
    refuse_mandatory(content, origin)
    return content


def overridden(path: Path | str, overrides: Sequence[str], presets: Sequence[str] = ()) -> str:
    """The text of a valid params.yaml with presets and overrides in it. Raises UserError as `load`."""
    content = read(path, overrides, presets)
    validate(content, _origin(path, presets))
    return OmegaConf.to_yaml(OmegaConf.create(content))


def validate(content: dict[str, Any], origin: str = FILE) -> Params:
    """Check plain content against the schema."""
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        tagged: Tagged = {"kind": SCHEMAS, "family": NETWORKS}
        lines = explain(error, content, Params, tagged)
        listed = "\n  ".join(lines)
        raise UserError(f"{origin}: {len(lines)} error(s)\n  {listed}") from None


def _origin(path: Path | str, presets: Sequence[str]) -> str:
    return f"{path} with preset {', '.join(presets)}" if presets else str(path)


def _leaf_keys(content: Any, prefix: str = "") -> set[str]:
    keys: set[str] = set()
    if isinstance(content, dict):
        for key, value in content.items():
            keys |= {f"{prefix}{key}"} | _leaf_keys(value, f"{prefix}{key}.")
    return keys
