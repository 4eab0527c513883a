"""publish: the candidate becomes an immutable version; the alias moves if its gate is passed."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import yaml

from drdd.files import write_json
from drdd.params import FILE, Params
from drdd.progress import Reporter
from drdd.registry.card import model_card
from drdd.registry.location import is_local_stack
from drdd.registry.registry import Registry
from drdd.stages.paths import CANDIDATE, CORPORA, METRICS, PAIRS, PUBLISHED, REPORT
from drdd.stages.results import git_revision
from drdd.stages.run import run_stage
from infra.local.stack import ensure_s3

LIBRARIES = ("torch", "ray", "dvc", "prefect", "numpy", "pillow", "safetensors")


def publish(params: Params, reporter: Reporter) -> None:
    metrics = json.loads(METRICS.read_text())
    about = {
        "metrics": metrics,
        "git": git_revision(),
        "libraries": {name: package_version(name) for name in LIBRARIES},
    }
    files: dict[str, Path | bytes] = {path.name: path for path in sorted(CANDIDATE.iterdir())}
    files |= {path.name: path for path in (Path(FILE), METRICS, REPORT)}
    files["dvc.lock"] = _lock()
    files["README.md"] = model_card(params, metrics, _cards(CORPORA), _cards(PAIRS)).encode()
    with _store(params.publish.registry):
        registry = Registry.open(params.publish.registry)
        version = registry.publish(files, about)
        if metrics["passed"]:
            registry.set_alias(params.publish.alias, version.id)
    write_json(
        PUBLISHED,
        {
            "version": version.id,
            "registry": params.publish.registry,
            "uri": version.uri,
            "alias": params.publish.alias,
            "promoted": metrics["passed"],
        },
    )
    word = f"alias {params.publish.alias} moved" if metrics["passed"] else "gate missed, no alias"
    reporter.finish("done", f"{version.uri}, {word}")


def _cards(folder: Path) -> list[dict[str, Any]]:
    """What ingest and prepare wrote about each corpus and task."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*/card.json"))]


def _lock() -> bytes:
    """dvc.lock without this stage's own entry, which names the version that it goes into."""
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    lock["stages"].pop("publish", None)
    return yaml.safe_dump(lock, sort_keys=False).encode()


@contextmanager
def _store(registry: str) -> Iterator[None]:
    """A bucket without AWS settings in the environment is the local stack's, started if need be."""
    if not is_local_stack(registry):
        yield
        return
    with ensure_s3(Path()) as environment:
        os.environ.update(environment)
        yield


if __name__ == "__main__":
    run_stage("publish", publish)
