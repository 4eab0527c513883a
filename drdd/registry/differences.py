"""The differences of two published versions: settings, metrics, data, files, libraries, code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drdd.gates.judgement import published
from drdd.registry.manifest import Version

SECTIONS = ("params", "metrics", "data", "libraries", "files", "code")
_PARTS = {"input", "reference", "output", "gain", "sets"}


@dataclass(frozen=True)
class Change:
    """key: dotted, such as tasks.rain.min_psnr_gain; old, new: None if a version lacks it."""

    key: str
    old: Any
    new: Any


def differences(old: Version, new: Version) -> dict[str, list[Change]]:
    """The changes by section of SECTIONS, sorted by key; [] for a section without any.

    metrics: by task and part, such as rain.output.psnr_rgb; data: the hash of each file or folder in
    dvc.lock; files: SHA-256; code: git revision and dvc.lock.
    """
    before, after = _sections(old), _sections(new)
    return {section: changes(before[section], after[section]) for section in SECTIONS}


def flat(content: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Flatten nested mappings to dotted keys; lists and empty mappings are kept as values."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{above}{key}.")
        else:
            found[f"{above}{key}"] = value
    return found


def _sections(version: Version) -> dict[str, dict[str, Any]]:
    about = version.about
    judged = published(about)
    tasks = judged.tasks if judged else {}
    scores = {task: result.model_dump(include=_PARTS) for task, result in tasks.items()}
    code = {"git": about.get("git"), "dvc.lock": about.get("dvc_lock"), "start": about.get("start")}
    return {
        "params": flat(about.get("params", {})),
        "metrics": flat(scores),
        "data": dict(about.get("data", {})),
        "libraries": dict(about.get("libraries", {})),
        "files": {name: file.sha256 for name, file in version.files.items()},
        "code": flat(code),
    }


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """The changes between two flat mappings, sorted by key."""
    return [
        Change(key, old.get(key), new.get(key))
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
