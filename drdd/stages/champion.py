"""The champion: the published model, at publish.alias, with which a candidate is compared.

It is not a dependency in dvc.yaml: each publication moves the alias, so the stage would be out of date
after every run.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

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
    """record: as gates.judgement takes it; params: of the published version."""

    record: ChampionRecord
    params: Mapping[str, Any]


def find_champion(params: Params) -> Champion | None:
    """The champion, or None when the alias does not exist.

    If the alias already points to the candidate, the champion is the one that the candidate was compared
    with when it was published, so that judging again gives the same bytes.
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
    """Whether the version holds exactly the model of the evaluate stage; its other files may differ."""
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
    try:
        return pd.read_parquet(io.BytesIO(content))
    except (pa.ArrowException, OSError) as error:
        said = str(error).splitlines()[0][:120]
        raise UserError(
            f"{registry.uri}/{name} is no table ({said}), so nothing can be compared with it",
            "`drdd models rollback` points the alias to the version before",
        ) from None
