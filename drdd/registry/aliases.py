"""Aliases: names that point to versions, with their history.

    aliases/<name>.json    {"version": <id>, "history": [{"version", "moved", "why", ...}, ...]}

An alias moves by compare-and-swap of its object, which is written only if it is unchanged since it was
read. So the history has all concurrent moves, in the order in which they took effect; the oldest of more
than MOVES are left out.
"""

import os
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import ConfigDict, Field, TypeAdapter, model_validator
from pydantic.dataclasses import dataclass

from drdd.bounded import read_json
from drdd.errors import TransientError, UserError
from drdd.files import json_bytes
from drdd.params import BASE, SCRATCH
from drdd.registry.manifest import LARGEST, Id, Time
from drdd.settings import is_alias, no_alias
from drdd.shown import short
from drdd.storage.objects import ChangedError, Store

MOVES = 1000  # of a history, at most: a million bytes
LONGEST = 500  # characters of a reason
TRIES = 60  # retries of a move after moves by other writers
LONGEST_WAIT_S = 0.25


class _Any(Enum):
    ANY = "any"


ANY: Final = _Any.ANY


_STRICT = ConfigDict(extra="forbid", strict=True)
_Text = Annotated[str, Field(max_length=LONGEST)]


@dataclass(frozen=True, config=_STRICT)
class Move:
    """moved:

    ISO 8601, UTC; by: the user, from the environment; mark: random, to distinguish equal moves.
    """

    version: Id
    moved: Time
    why: _Text = ""
    by: _Text = ""
    rollback: bool = False
    mark: _Text = ""


@dataclass(frozen=True, config=_STRICT)
class _Stored:
    """The content of an alias's object."""

    version: Id
    history: Annotated[list[Move], Field(min_length=1, max_length=MOVES)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.history[-1].version != self.version:
            raise ValueError("the last move led elsewhere")
        return self


_STORED = TypeAdapter(_Stored)


@dataclass(frozen=True)
class Alias:
    """history: oldest first; the last move led to `version`."""

    name: str
    version: str
    history: tuple[Move, ...]


class Aliases:
    """The aliases of a registry. usable: raises UserError unless aliases may point to a version."""

    def __init__(self, store: Store, usable: Callable[[str, str], None]) -> None:
        self._store, self._usable = store, usable

    def all(self) -> dict[str, str]:
        """The version id of each alias. Raises UserError when one is damaged."""
        found = {name: self.get(name) for name in self._names() if is_alias(name)}
        return {name: alias.version for name, alias in found.items() if alias}

    def readable(self) -> tuple[dict[str, Alias], dict[str, str]]:
        """The aliases by name, and of the others why they cannot be read: for what shows what there is."""
        found, problems = {}, {}
        for name in self._names():
            try:
                if not is_alias(name):
                    raise UserError(f"{self._store.uri}: {no_alias(name)}")
                if alias := self.get(name):
                    found[name] = alias
            except UserError as error:
                problems[name] = str(error)
        return found, problems

    def get(self, name: str) -> Alias | None:
        return self._read(name)[0] if is_alias(name) else None

    def move(
        self, name: str, version: str, why: str = "", expected: str | _Any | None = ANY
    ) -> Alias:
        """Point `name` to a version, given by its full id. Does nothing if it already points there.

        expected: the id to which the alias must point before, None if it must not exist. Raises
        ChangedError when it points elsewhere, and UserError when the version does not exist.
        """
        if not is_alias(name):
            raise UserError(f"{self._store.uri}: {no_alias(name)}", "choose another")
        if len(why) > LONGEST:
            raise UserError(f"the reason has {len(why)} characters; say it in {LONGEST}")
        if name in (BASE, SCRATCH):
            raise UserError(
                f"{self._store.uri}: {name!r} is a start of training, so no alias can have this name",
                "choose another",
            )
        self._usable(version, name)

        def moved(alias: Alias | None) -> Move | None:
            before = alias.version if alias else None
            if before == version:
                return None
            if expected is not ANY and before != expected:
                raise ChangedError(
                    f"{self._store.uri}: {name} was moved to {short(before or 'nothing')} by someone "
                    f"else and not to {short(version)}; compare with that one, then move it again"
                )
            return _move(version, why)

        return self._swap(name, moved)

    def rollback(self, name: str, why: str = "") -> Alias:
        """Point `name` to the version before the present one; the history records it as a move.

        Repeated rollbacks go further back. Deleted versions are skipped. Raises UserError when there is no
        earlier version.
        """

        def moved(alias: Alias | None) -> Move:
            if alias is None:
                raise UserError(f"{self._store.uri}: no alias {name!r} to roll back")
            for version in reversed(_earlier(alias)):
                try:
                    self._usable(version, name)
                except UserError:
                    continue
                return _move(version, why, rollback=True)
            raise UserError(
                f"{self._store.uri}: {name} was never anything before {short(alias.version)}"
            )

        return self._swap(name, moved)

    def _swap(self, name: str, decide: Callable[[Alias | None], Move | None]) -> Alias:
        """Move an alias by compare-and-swap.

        decide: returns the next move, or None; called again after a lost race.
        """
        for _ in range(TRIES):
            alias, tag = self._read(name)
            if (move := decide(alias)) is None and alias is not None:
                return alias
            assert move is not None
            history = (*(alias.history if alias else ()), move)[-MOVES:]
            changed = Alias(name, move.version, history)
            try:
                self._store.put_if(_path(name), _content(changed), tag)
            except ChangedError:
                time.sleep(random.uniform(0, LONGEST_WAIT_S))
                continue
            # A cleaning may have deleted the version since it was checked.
            self._usable(move.version, name)
            return changed
        raise TransientError(f"{self._store.uri}: {name} is being moved by too many others")

    def _read(self, name: str) -> tuple[Alias | None, str | None]:
        """The alias and the tag of its object."""
        if (found := self._store.tagged(_path(name))) is None:
            return None, None
        content, tag = found
        try:
            return _parsed(name, content), tag
        except ValueError:
            raise UserError(
                f"{self._store.uri}/{_path(name)} is damaged",
                "delete this object, then set the alias again: "
                f"drdd models promote VERSION --alias {name}",
            ) from None

    def _names(self) -> list[str]:
        return [Path(name).stem for name in self._store.names("aliases")]


def _path(name: str) -> str:
    return f"aliases/{name}.json"


def _move(version: str, why: str, rollback: bool = False) -> Move:
    moved = datetime.now(UTC).isoformat(timespec="milliseconds")
    by = os.environ.get("USER", "")[:LONGEST]
    return Move(version, moved, why, by, rollback, secrets.token_hex(4))


def _content(alias: Alias) -> bytes:
    moves = [{key: value for key, value in asdict(m).items() if value} for m in alias.history]
    return json_bytes({"version": alias.version, "history": moves})


def _parsed(name: str, content: bytes) -> Alias:
    """Raises ValueError when `content` is no alias."""
    read_json(content, LARGEST)
    stored = _STORED.validate_json(content)  # JSON has no data classes, so strict takes a mapping
    return Alias(name, stored.version, tuple(stored.history))


def _earlier(alias: Alias) -> list[str]:
    """The versions before the present one, oldest first, without those that were rolled back."""
    path: list[str] = []
    for move in alias.history:
        if move.rollback:
            while path and path[-1] != move.version:
                path.pop()
        if not path or path[-1] != move.version:
            path.append(move.version)
    return [version for version in path[:-1] if version != alias.version]
