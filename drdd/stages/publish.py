"""publish: the candidate becomes an immutable version; the alias moves if its gate is passed."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import yaml

from drdd.files import write_json
from drdd.params import FILE, Params
from drdd.progress import Reporter
from drdd.registry.card import model_card
from drdd.registry.gate import Gate, gate, outcome
from drdd.registry.location import reachable
from drdd.registry.registry import Registry
from drdd.stages.paths import CANDIDATE, CORPORA, METRICS, PAIRS, PUBLISHED, REPORT, SPLIT, START
from drdd.stages.results import git_revision
from drdd.stages.run import run_stage

LIBRARIES = ("torch", "ray", "dvc", "prefect", "numpy", "pillow", "safetensors")


def publish(params: Params, reporter: Reporter) -> None:
    """The alias stays where it is when its gate is missed; the version is published all the same."""
    metrics, alias = json.loads(METRICS.read_text()), params.publish.alias
    with reachable(params.publish.registry):
        registry = Registry.open(params.publish.registry)
        verdict = gate(metrics, registry.pointed(alias))
        version = registry.publish(_files(params, metrics), _about(metrics, verdict))
        if verdict.passed:
            registry.set_alias(alias, version.id)
    write_json(
        PUBLISHED,
        {
            "version": version.id,
            "registry": params.publish.registry,
            "uri": version.uri,
            "alias": alias,
            "promoted": verdict.passed,
            **asdict(verdict),
        },
    )
    reporter.finish("done", f"{version.uri}, {outcome(verdict, alias)}")


def _files(params: Params, metrics: dict[str, Any]) -> dict[str, Path | bytes]:
    start = json.loads(START.read_text())["version"]
    counts = json.loads((SPLIT / "card.json").read_text())
    corpora = [card | counts[card["corpus"]] for card in _cards(CORPORA, counts)]
    card = model_card(params, metrics, corpora, _cards(PAIRS, params.tasks), start)
    return {
        **{path.name: path for path in sorted(CANDIDATE.iterdir())},
        **{path.name: path for path in (Path(FILE), METRICS, REPORT)},
        "dvc.lock": _lock(),
        "README.md": card.encode(),
    }


def _about(metrics: dict[str, Any], verdict: Gate) -> dict[str, Any]:
    return {
        "metrics": metrics,
        "gate": {"passed": verdict.passed, **asdict(verdict)},
        "start": json.loads(START.read_text()),
        "git": git_revision(),
        "libraries": {name: package_version(name) for name in LIBRARIES},
    }


def _cards(folder: Path, names: Iterable[str]) -> list[dict[str, Any]]:
    """What ingest and prepare wrote about each corpus and task."""
    return [json.loads((folder / name / "card.json").read_text()) for name in sorted(names)]


def _lock() -> bytes:
    """dvc.lock without this stage's own entry, which names the version that it goes into."""
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    lock["stages"].pop("publish", None)
    return yaml.safe_dump(lock, sort_keys=False).encode()


if __name__ == "__main__":
    run_stage("publish", publish)
