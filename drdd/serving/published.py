"""The source of the service's models: a registry with its aliases, or one folder."""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from drdd.base.shipped import base_folder
from drdd.params import BASE
from drdd.registry.location import cache_folder, cached, open_registry


class Source(Protocol):
    def versions(self, alias: str) -> Sequence[str]:
        """The version of `alias`, then its earlier versions, latest first; () if it does not exist.

        Raises TransientError when the registry does not answer.
        """

    def folder(self, version: str) -> Path:
        """A local model folder. Raises UserError when the version is damaged or lost."""


@dataclass(frozen=True)
class FromRegistry:
    """uri: of the registry; root: the project, with the cache of pulled models.

    The alias "base" is the model that ships with drdd, which is its only version.
    """

    uri: str
    root: Path

    def versions(self, alias: str) -> list[str]:
        if alias == BASE:
            return [BASE]
        found = open_registry(self.uri, self.root).aliases.get(alias)
        if found is None:
            return []
        return list(dict.fromkeys(move.version for move in reversed(found.history)))

    def folder(self, version: str) -> Path:
        """A local model folder. One process of this machine pulls it; others wait."""
        if version == BASE:
            return base_folder()
        cache = cache_folder(self.root)
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / ".lock"):
            return cached(version, self.uri, self.root)


@dataclass(frozen=True)
class FromFolder:
    """One model for every alias; its version is the name of the folder."""

    path: Path

    def versions(self, alias: str) -> list[str]:
        return [self.path.name]

    def folder(self, version: str) -> Path:
        return self.path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
