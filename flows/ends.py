"""The checks that a run must pass before it is Completed."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from drdd.errors import TransientError
from drdd.registry.location import reachable
from drdd.registry.registry import Registry
from drdd.stages.paths import GRID, METRICS, PUBLISHED, REPORT
from drdd.storage.filesystems import explained
from flows import cache
from flows.graph import found, locked, opened

LOOKED_AT = (METRICS, REPORT, GRID, PUBLISHED)


def verify_outputs(names: Iterable[str]) -> None:
    """Check that all outputs exist in the workspace, cache or remote, and fetch those that users look at.

    Raises TransientError, which lists what is missing.
    """
    missing: list[str] = []
    with opened(Path()) as repo, locked(repo):
        for name in names:
            one, _ = found(repo, name)
            missing += [str(out) for out in one.outs if not out.hash_info] + cache.missing(
                repo, one
            )
        if not missing:
            with explained("DVC's remote"):
                made = {out.fs_path for name in names for out in found(repo, name)[0].outs}
                here = [path for path in LOOKED_AT if str(path.absolute()) in made]
                cache.fetch(repo, [str(path) for path in here if not path.exists()])
    if missing:
        raise TransientError(f"neither here nor in DVC's remote: {', '.join(sorted(set(missing)))}")


def is_unpublished() -> bool:
    """Whether the version that publish noted in PUBLISHED is not complete in the registry."""
    published = json.loads(PUBLISHED.read_text())
    with reachable(published["registry"]):
        registry = Registry.open(published["registry"])
        version = registry.listed(published["version"])
        if version is None:
            return True
        there = set(registry.store.names(f"versions/{version.id}"))
        return not {f"versions/{version.id}/{name}" for name in version.files} <= there


def not_promoted() -> list[str]:
    """The reasons why the alias was not moved, if the run should have moved it."""
    published = json.loads(PUBLISHED.read_text())
    return list(published["missed"]) if published["asked"] else []


def has_service() -> bool:
    """Whether a run deploys a service, or asks one that is deployed elsewhere."""
    return not {"DRDD_SERVE_PORT", "DRDD_SERVICE"}.isdisjoint(os.environ)
