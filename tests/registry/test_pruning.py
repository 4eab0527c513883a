"""The cache of pulled versions stays small, and loses nothing that is used or cannot be pulled again."""

import os
import time
from pathlib import Path

import pytest

from drdd.registry import pruning
from drdd.registry.location import cached
from drdd.registry.registry import Registry

OLD = time.time() - 30 * 24 * 3600


def _publish(registry: Registry, n: int) -> str:
    return registry.publish({"config.json": b"%d" % n}, {}).id


def test_the_oldest_versions_that_nobody_uses_are_deleted(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(workspace / "cache"))
    registry = Registry.open(str(workspace / "registry"))
    ids = [_publish(registry, n) for n in range(12)]
    for n in (0, 1, 2):
        registry.aliases.move("champion", ids[n])
    folders = [cached(id_, registry.uri) for id_ in ids]
    cache = folders[0].parent
    assert pruning.prune(cache, registry) == []  # all were used just now
    for n, folder in enumerate(folders[:-1]):
        os.utime(folder, (OLD + n, OLD + n))
    cached(ids[3], registry.uri)  # it is used again, so five are 3 and 8 to 11
    registry.store.delete(f"versions/{ids[4]}/manifest.json")  # it could not be pulled again
    other = cache / "0123456789ab"  # of another registry
    other.mkdir()
    os.utime(other, (OLD, OLD))
    assert sorted(pruning.prune(cache, registry)) == sorted(ids[n] for n in (0, 5, 6, 7))
    left = {path.name for path in cache.iterdir()}
    assert left == {other.name, *(ids[n] for n in (1, 2, 3, 4, 8, 9, 10, 11))}
    assert cached(ids[5], registry.uri).is_dir()


def test_a_pull_prunes(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(workspace / "cache"))
    registry = Registry.open(str(workspace / "registry"))
    for n in range(12):
        folder = cached(_publish(registry, n), registry.uri)
        os.utime(folder, (OLD + n, OLD + n))
    assert len(list(folder.parent.iterdir())) == pruning.KEPT
