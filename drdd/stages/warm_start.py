"""The published model from which the residual stage begins: resolved once a run, and kept until its end.

The model is not a dependency in dvc.yaml: each publication moves `champion`, so the stage would be out of
date after every run.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from drdd.errors import UserError
from drdd.files import write_json
from drdd.params import Params
from drdd.registry.location import cached, reachable
from drdd.registry.registry import Registry

NONE, CHAMPION = "none", "champion"


@dataclass(frozen=True)
class WarmStart:
    """version: its id, None for random weights; folder: a verified copy; said: a message for the user."""

    version: str | None = None
    folder: Path | None = None
    said: str = ""


def find_warm_start(params: Params, kept: Path) -> WarmStart:
    """Resolve train.residual.warm_start in publish.registry.

    kept: the file in which an unfinished run keeps the version, since the alias may move before it resumes.
    Random weights are used while `champion`, or the alias to which this pipeline publishes, does not exist.
    Raises UserError for any other model that does not exist.
    """
    ref, uri = params.train.residual.warm_start, params.publish.registry
    if ref == NONE:
        return WarmStart()
    with reachable(uri):
        if kept.exists():
            version = json.loads(kept.read_text())["version"]
            said = f"goes on with {version or 'random weights'}, from which this run began"
        else:
            version = _resolved(ref, params)
            said = (
                f"begins from the residual network of {version} ({ref} in {uri})"
                if version
                else f"{uri} has no {ref} yet: begins from random weights"
            )
            write_json(kept, {"version": version})
        return WarmStart(version, version and cached(version, uri).absolute(), said)


def _resolved(ref: str, params: Params) -> str | None:
    registry = Registry.open(params.publish.registry)
    if ref in {CHAMPION, params.publish.alias} and registry.aliases.get(ref) is None:
        return None
    try:
        return registry.resolve(ref).id
    except UserError as error:
        raise UserError(
            f"train.residual.warm_start = {ref!r}: {error}; name one of these, or none"
        ) from None
