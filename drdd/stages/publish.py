"""publish: the candidate becomes an immutable version; the alias moves if its gates are passed."""

import json
from hashlib import sha256
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import yaml

from drdd.evaluation.trajectories import read_samples
from drdd.files import write_json
from drdd.gates.judgement import Judgement
from drdd.params import FILE, Params
from drdd.params.yaml_text import load_yaml
from drdd.progress import Reporter
from drdd.registry.location import reachable
from drdd.registry.registry import Registry
from drdd.report.card import model_card
from drdd.report.wording import outcome
from drdd.shown import short
from drdd.stages.champion import is_candidate
from drdd.stages.paths import (
    CANDIDATE,
    IMAGES,
    LATENCY,
    METRICS,
    NOISE,
    PUBLISHED,
    REPORT,
    RESIDUAL,
    START,
    TRAJECTORIES,
)
from drdd.stages.provenance import corpus_cards, git_revision, task_cards
from drdd.stages.run import run_stage
from drdd.storage.objects import ChangedError

LIBRARIES = (
    "drdd",
    "torch",
    "ray",
    "dvc",
    "prefect",
    "numpy",
    "pandas",
    "pyarrow",
    "pillow",
    "safetensors",
    "torchmetrics",
    "fastapi",
    "s3fs",
    "cryptography",
)
CODE = ("drdd/", "flows/", "infra/")  # what dvc.lock hashes besides data


def publish(params: Params, reporter: Reporter) -> None:
    """The alias stays where it is when a gate is missed; the version is published all the same."""
    metrics = Judgement.model_validate_json(METRICS.read_bytes())
    alias, asked = params.publish.alias, params.publish.promote
    lock = _lock()
    with reachable(params.publish.registry):
        registry = Registry.open(params.publish.registry)
        version = registry.publish(_files(params, metrics, lock), _about(params, metrics, lock))
        reasons = metrics.missed
        if asked and not reasons:
            reasons = _moved(registry, alias, version.id, metrics)
    said = outcome(metrics, alias, reasons) if asked else f"alias {alias} left as it is"
    write_json(
        PUBLISHED,
        {
            "version": version.id,
            "registry": params.publish.registry,
            "uri": version.uri,
            "alias": alias,
            "asked": asked,
            "promoted": asked and not reasons,
            "against": metrics.against,
            "missed": reasons,
            "notes": metrics.notes,
        },
    )
    reporter.finish("done", f"{version.uri}, {said}")


def _moved(registry: Registry, alias: str, version: str, metrics: Judgement) -> list[str]:
    """Why the alias did not move: another publisher moved it since the candidate was judged."""
    expected = _expected(registry, alias, metrics.against)
    try:
        registry.aliases.move(alias, version, _why(metrics), expected)
    except ChangedError:
        now, then = registry.aliases.get(alias), metrics.against or "no version"
        there = now.version if now else "no version"
        return [
            f"{alias} points to {short(there)} since this candidate was compared with {short(then)}; "
            "`dvc repro -f -s compare judge`, then `dvc repro`, compares it anew"
        ]
    return []


def _expected(registry: Registry, alias: str, against: str | None) -> str | None:
    """What the alias may be moved from: what the candidate was compared with.

    Or the same model, published with other params or metrics: judge compared it with what that was
    compared with. Or a version that is lost.
    """
    found = registry.aliases.get(alias)
    if found is None:
        return against
    current = registry.version(found.version)
    return found.version if current is None or is_candidate(current) else against


def _why(metrics: Judgement) -> str:
    against = metrics.against
    return f"gates passed against {short(against)}" if against else "gates passed"


def _files(params: Params, metrics: Judgement, lock: bytes) -> dict[str, Path | bytes]:
    card = model_card(params, metrics, corpus_cards(), task_cards(params), _starts())
    return {
        **{path.name: path for path in sorted(CANDIDATE.iterdir())},
        **{path.name: path for path in (Path(FILE), METRICS, REPORT, IMAGES, LATENCY)},
        **{f"samples/{task}.jpg": content for task, content in read_samples(TRAJECTORIES).items()},
        "dvc.lock": lock,
        "README.md": card.encode(),
    }


def _about(params: Params, metrics: Judgement, lock: bytes) -> dict[str, Any]:
    return {
        "metrics": metrics.content(),
        "params": params.model_dump(mode="json"),
        "start": _starts(),
        "git": git_revision(),
        "dvc_lock": sha256(lock).hexdigest(),
        "data": _data(yaml.safe_load(lock)),
        "libraries": {name: package_version(name) for name in LIBRARIES},
    }


def _starts() -> dict[str, str]:
    """What each stage of the method began from: "base", "scratch", a version's id or a path."""
    folders = {"noise": NOISE, "residual": RESIDUAL}
    found = {stage: json.loads((path / START).read_text()) for stage, path in folders.items()}
    return {stage: said["from"] for stage, said in found.items() if said["from"]}


def _data(lock: dict[str, Any]) -> dict[str, str]:
    """The hash that dvc.lock has of everything that a stage read or wrote, but for code."""
    entries = [
        entry
        for stage in lock["stages"].values()
        for entry in (*stage.get("deps", []), *stage.get("outs", []))
    ]
    hashes = {entry["path"]: str(entry.get("md5") or entry.get("etag")) for entry in entries}
    return {path: hashes[path] for path in sorted(hashes) if not f"{path}/".startswith(CODE)}


def _lock() -> bytes:
    """dvc.lock without this stage's own entry, which names the version that it goes into."""
    lock = load_yaml("dvc.lock")
    lock["stages"].pop("publish", None)
    return yaml.safe_dump(lock, sort_keys=False).encode()


if __name__ == "__main__":
    run_stage("publish", publish)
