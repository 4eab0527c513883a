"""Which published model the residual stage begins from: asked once a run, and kept to its end.

The model is no dependency in dvc.yaml: each publication moves `champion`, so the stage would be out of
date after every run, for ever.
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
    """version: its id, None for random weights; folder: a verified copy of it; said: for a person."""

    version: str | None = None
    folder: Path | None = None
    said: str = ""


def find_warm_start(params: Params, kept: Path) -> WarmStart:
    """What train.residual.warm_start names in publish.registry.

    kept: the file in which an unfinished run keeps its start: the alias may move before it is resumed.
    Random weights where nothing is published yet as `champion`, or as the alias that this pipeline
    itself publishes. Raises UserError for any other model that is not there.
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
