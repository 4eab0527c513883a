"""Where the service finds its models: in a registry, whose aliases move, or in one folder."""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from drdd.registry.location import cache_folder, cached, open_registry


class Source(Protocol):
    def versions(self, alias: str) -> Sequence[str]:
        """What `alias` points to, then what it pointed to before, latest first; () for no such alias.

        Raises TransientError when this cannot be told now.
        """

    def folder(self, version: str) -> Path:
        """A local model folder. Raises UserError when the version is damaged or lost."""


@dataclass(frozen=True)
class FromRegistry:
    """uri: of the registry; root: the project, which keeps what was pulled."""

    uri: str
    root: Path

    def versions(self, alias: str) -> list[str]:
        found = open_registry(self.uri, self.root).aliases.get(alias)
        if found is None:
            return []
        return list(dict.fromkeys(move.version for move in reversed(found.history)))

    def folder(self, version: str) -> Path:
        """Of several processes of this machine one pulls, and the others wait for it."""
        cache = cache_folder(self.root)
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / ".lock"):
            return cached(version, self.uri, self.root)


@dataclass(frozen=True)
class FromFolder:
    """One model under every alias; its version is the folder's name."""

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
