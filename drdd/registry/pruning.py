"""The cache of pulled versions is bounded: what nobody asks for is deleted, and can be pulled again."""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from drdd.errors import TransientError, UserError
from drdd.registry.manifest import is_id
from drdd.registry.registry import Registry

KEPT = 5  # versions, those last asked for
UNUSED_S = 7 * 24 * 3600.0


def mark_used(folder: Path) -> None:
    """Note that a version is used now, by the time of its folder."""
    with suppress(OSError):  # a cache that may only be read is not pruned from here
        os.utime(folder)


def prune(cache: Path, registry: Registry) -> list[str]:
    """Delete versions not used for UNUSED_S beyond the KEPT last used; returns their ids.

    Kept are those that an alias names, or named before its last move, because a service may serve them; and
    those that the registry does not have, because they could not be pulled again.
    """
    folders = [path for path in cache.iterdir() if is_id(path.name) and path.is_dir()]
    folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    before = time.time() - UNUSED_S
    old = [path for path in folders[KEPT:] if path.stat().st_mtime < before]
    deleted = []
    with suppress(UserError, TransientError, OSError):
        named = _named(registry) if old else set()
        for path in old:
            if path.name not in named and registry.listed(path.name) is not None:
                shutil.rmtree(path)
                deleted.append(path.name)
    return deleted


def _named(registry: Registry) -> set[str]:
    aliases = [registry.aliases.get(name) for name in registry.aliases.all()]
    return {move.version for alias in aliases if alias for move in alias.history[-2:]}
