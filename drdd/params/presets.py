"""Presets: params files that the package bundles, merged into a project's own params.

A preset holds sections of params.yaml. What belongs together is replaced whole (`WHOLE`); anything
else is merged deep, key by key. Two keys are a preset's own: `extends: NAME` begins with another
preset, `every_task: {...}` is merged into every task when all else is done.
"""

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import yaml

from drdd.errors import UserError
from drdd.params.errors import nearest

# A network's keys depend on its family, so those of another family must not remain.
WHOLE = frozenset({"photographs", "synthetic", "corpora", "paired", "tasks", "network"})
EXTENDS, EVERY_TASK = "extends", "every_task"


def names() -> list[str]:
    """Of all presets, sorted, numbers by their size."""
    return sorted(_files(), key=lambda name: [int(p) if p.isdigit() else p for p in _parts(name)])


def describe(name: str) -> str:
    """The preset's first line, a comment that says what it is. Raises UserError as `applied`."""
    _refuse_unknown([name])
    return _files()[name].read_text("utf-8").partition("\n")[0].lstrip("# ")


def applied(content: Mapping[str, Any], presets: Sequence[str]) -> dict[str, Any]:
    """Plain params with presets merged into them in order; `content` is left as it is.

    Raises UserError that names every unknown preset, the nearest name and all there are.
    """
    _refuse_unknown(presets)
    result = dict(content)
    for name in presets:
        result = _with_preset(result, name)
    return result


def _with_preset(content: dict[str, Any], name: str) -> dict[str, Any]:
    preset: dict[str, Any] = yaml.safe_load(_files()[name].read_text("utf-8"))
    if base := preset.pop(EXTENDS, None):
        content = _with_preset(content, base)
    for_each: dict[str, Any] = preset.pop(EVERY_TASK, {})
    result = _merged(content, preset)
    if for_each:  # such a preset brings tasks itself, or by what it extends
        result["tasks"] = {
            task: _merged(entry, for_each) for task, entry in result["tasks"].items()
        }
    return result


def _merged(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`content` with `changes` in it: mappings are merged unless `WHOLE` names their key."""
    result = dict(content)
    for key, new in changes.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping) and key not in WHOLE:
            new = _merged(old, new)
        result[key] = new
    return result


def _parts(name: str) -> list[str]:
    return re.split(r"(\d+)", name)


def _refuse_unknown(presets: Sequence[str]) -> None:
    known = names()
    unknown = [f"{name!r}{nearest(name, known)}" for name in presets if name not in known]
    if unknown:
        raise UserError(f"no preset {' and no '.join(unknown)}; there are: {', '.join(known)}")


def _files() -> dict[str, Traversable]:
    folder = resources.files("drdd.presets")
    return {
        file.name.removesuffix(".yaml"): file
        for file in folder.iterdir()
        if file.name.endswith(".yaml")
    }
