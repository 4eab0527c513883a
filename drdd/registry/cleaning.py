"""Find and delete garbage in a registry: unfinished publications, files of killed writers, old versions.

Publishers may run at the same time. Only objects older than some hours count as garbage; each is checked
again just before it is deleted; and a publisher rewrites missing files before and after it writes the
manifest. The manifest of a version is deleted first, so a half-deleted version does not exist. If an
alias has moved to the version meanwhile, its manifest is restored.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from drdd.registry.manifest import MANIFEST, Version, is_id
from drdd.registry.registry import Registry

HOURS = 24.0


@dataclass(frozen=True)
class Leftover:
    """name: versions/<id>, or an object; objects: those to delete; since: time of the newest write."""

    name: str
    why: str
    objects: tuple[str, ...]
    since: datetime
    version: Version | None = None


def leftovers(registry: Registry, hours: float = HOURS, keep: int | None = None) -> list[Leftover]:
    """Find garbage that is at least `hours` old.

    keep: also list versions, except the newest `keep`, to which no alias points or ever pointed.
    """
    before = datetime.now(UTC) - timedelta(hours=hours)
    names = registry.store.names("", unfinished=True)
    found = [*_temporary(registry, names), *_unfinished(registry, names)]
    if keep is not None:
        found += _outdated(registry, names, keep)
    return [leftover for leftover in found if leftover.since < before]


def remove(registry: Registry, found: Iterable[Leftover], hours: float = HOURS) -> list[Leftover]:
    """Delete what `leftovers` found; returns what was deleted. Running it again deletes the rest."""
    before = datetime.now(UTC) - timedelta(hours=hours)
    return [one for one in found if _removed(registry, one, before)]


def _removed(registry: Registry, leftover: Leftover, before: datetime) -> bool:
    store = registry.store
    if leftover.version:
        path = f"{leftover.name}/{MANIFEST}"
        manifest = store.get(path)
        if leftover.version.id in _named(registry):
            return False
        store.delete(path)
        if leftover.version.id in _named(registry) and manifest is not None:
            store.put(path, manifest)
            return False
    for name in leftover.objects:
        when = store.modified(name)
        if when is not None and when >= before:
            return False
        store.delete(name)
    return True


def _temporary(registry: Registry, names: Iterable[str]) -> Iterator[Leftover]:
    for name in names:
        file = Path(name).name
        if file.startswith(".") and file.endswith(".tmp"):
            yield from _dated(registry, name, "of a killed writer", [name])


def _unfinished(registry: Registry, names: Iterable[str]) -> Iterator[Leftover]:
    for id_, objects in _folders(names).items():
        path = f"versions/{id_}"
        if f"{path}/{MANIFEST}" not in objects:
            yield from _dated(registry, path, "its publication was never finished", objects)


def _outdated(registry: Registry, names: Iterable[str], keep: int) -> Iterator[Leftover]:
    folders, named = _folders(names), _named(registry)
    free = [version for version in registry.versions() if version.id not in named]
    for version in free[keep:]:
        path, why = f"versions/{version.id}", f"no alias names it, and {keep} newer ones are kept"
        objects = [name for name in folders[version.id] if name != f"{path}/{MANIFEST}"]
        created = datetime.fromisoformat(version.created)
        yield Leftover(path, why, tuple(objects), created, version)


def _folders(names: Iterable[str]) -> dict[str, list[str]]:
    """The objects of each version, finished or not, without temporary files."""
    found = defaultdict(list)
    for name in names:
        top, _, rest = name.partition("/")
        id_, _, file = rest.partition("/")
        if top == "versions" and is_id(id_) and not Path(file).name.startswith("."):
            found[id_].append(name)
    return found


def _dated(registry: Registry, name: str, why: str, objects: Iterable[str]) -> Iterator[Leftover]:
    """Yield the leftover with the time of its newest write, unless it is already gone."""
    times = {path: registry.store.modified(path) for path in objects}
    there = {path: when for path, when in times.items() if when}
    if there:
        yield Leftover(name, why, tuple(there), max(there.values()))


def _named(registry: Registry) -> set[str]:
    """The ids to which an alias points or once pointed."""
    aliases = [registry.aliases.get(name) for name in registry.aliases.all()]
    return {move.version for alias in aliases if alias for move in alias.history}
