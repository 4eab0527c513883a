"""The model that a candidate is compared with: what publish.alias points to, and how it did.

It is no dependency in dvc.yaml: each publication moves the alias, so the stage would be out of date
after every run, for ever.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from drdd.errors import UserError
from drdd.gates.judgement import published
from drdd.params import Params
from drdd.registry.location import reachable
from drdd.registry.manifest import Version, file_of
from drdd.registry.registry import Registry
from drdd.report.comparison import ChampionRecord
from drdd.stages.paths import CANDIDATE, IMAGES


@dataclass(frozen=True)
class Champion:
    """record: as judgement takes it; params: as published."""

    record: ChampionRecord
    params: Mapping[str, Any]


def find_champion(params: Params) -> Champion | None:
    """None when the alias points to nothing.

    A candidate that the alias points to already is compared with what it was compared with when it was
    published, so that judging it again gives the same bytes.
    """
    with reachable(params.publish.registry):
        registry = Registry.open(params.publish.registry)
        version = registry.pointed(params.publish.alias)
        if version is not None and is_candidate(version):
            own = published(version.about)
            version = registry.version(own.against) if own and own.against else None
        if version is None:
            return None
        about = version.about
        record = ChampionRecord(version.id, published(about), _scores(registry, version))
        return Champion(record, about.get("params", {}))


def is_candidate(version: Version) -> bool:
    """Whether it holds the very model that evaluate left, whatever else it was published with."""
    listed = {path.name: file_of(path) for path in sorted(CANDIDATE.iterdir())}
    return all(version.files.get(name) == file for name, file in listed.items())


def _scores(registry: Registry, version: Version) -> pd.DataFrame | None:
    listed = version.files.get(IMAGES.name)
    if listed is None:
        return None
    name = f"versions/{version.id}/{IMAGES.name}"
    content = registry.store.get(name, listed.size)
    if content is None or file_of(content) != listed:
        raise UserError(
            f"{registry.uri}/{name} is missing or damaged, so nothing can be compared with it; "
            "`drdd models rollback` points the alias to the version before"
        )
    return pd.read_parquet(io.BytesIO(content))
