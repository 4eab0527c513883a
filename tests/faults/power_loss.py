"""A disk that loses what was not flushed: the file operations of a block, replayed up to any moment.

The interpreter reports each operation before it happens (sys.addaudithook); the folder is then compared
with what it was, so operations of libraries are seen, too. After a power loss at a given moment the disk
holds, as POSIX allows:

- every name in a folder that was flushed (os.fsync of the folder) after the name was given or taken away;
  of later changes of names, any of them and not the others;
- the content of every file when it was last flushed, or, of what was written after that, a part or all.
"""

import os
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

WATCHED = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink")
Name = tuple[int, str]  # the inode of a folder, and a name in it


@dataclass(frozen=True)
class Renamed:
    """Names that changed in one step: their inodes, None for a name that is gone."""

    names: dict[Name, int | None]


@dataclass(frozen=True)
class Written:
    inode: int
    content: bytes


@dataclass(frozen=True)
class Flushed:
    inode: int


@dataclass(frozen=True)
class Reached:
    """A remark of the test, such as that an operation has returned."""

    what: Any


Event = Renamed | Written | Flushed | Reached


class Luck(random.Random):
    """keeps: the share of unflushed changes of names that survive."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.keeps = (0.0, 1.0, 0.5)[seed % 3]


class Recording:
    """The events below `root`, since what it held at the beginning was on disk."""

    def __init__(self, root: Path) -> None:
        self.root, self.events = root, list[Event]()
        self._names: dict[Name, int] = {}
        self._stamps: dict[int, tuple[int, int]] = {}  # of files: time of change, size
        self._open: dict[
            int, int
        ] = {}  # a descriptor of each inode, so that its number stays its own
        self._lock, self._looking = threading.RLock(), False
        self._root = root.stat().st_ino
        self.look()
        self._begun = self._names.copy()
        self._contents = {e.inode: e.content for e in self.events if isinstance(e, Written)}
        self.events.clear()

    def look(self) -> None:
        """Note what has changed since the last look."""
        with self._lock:
            if self._looking:
                return
            self._looking = True
            try:
                names = dict(self._walked(self.root, self._root))
            finally:
                self._looking = False
            before = self._names
            changed = {n: names.get(n) for n in {*names, *before} if names.get(n) != before.get(n)}
            if changed:
                self.events.append(Renamed(changed))
            self._names = names

    def flushed(self, inode: int) -> None:
        with self._lock:
            self.look()
            self.events.append(Flushed(inode))

    def reached(self, what: Any) -> None:
        self.look()
        self.events.append(Reached(what))

    def close(self) -> None:
        self.look()
        for file in self._open.values():
            os.close(file)

    def _walked(self, folder: Path, inode: int) -> Iterator[tuple[Name, int]]:
        for entry in os.scandir(folder):
            here = entry.inode()
            yield (inode, entry.name), here
            if here not in self._open:
                self._open[here] = os.open(entry.path, os.O_RDONLY)
            if entry.is_dir(follow_symlinks=False):
                yield from self._walked(Path(entry.path), here)
                continue
            stat = entry.stat()
            if self._stamps.get(here) != (stamp := (stat.st_mtime_ns, stat.st_size)):
                self._stamps[here] = stamp
                self.events.append(Written(here, Path(entry.path).read_bytes()))

    def reached_by(self, moment: int) -> list[Any]:
        return [e.what for e in self.events[:moment] if isinstance(e, Reached)]

    def after_power_loss(self, moment: int, luck: Luck, into: Path) -> None:
        """Write what the disk may hold if the power is lost after `moment` events into an empty folder."""
        names: dict[Name, int] = dict(self._begun)
        for number, event in enumerate(self.events[:moment]):
            if not isinstance(event, Renamed):
                continue
            if self._is_flushed(event, number, moment) or luck.random() < luck.keeps:
                for name, inode in event.names.items():
                    if inode is None:
                        names.pop(name, None)
                    else:
                        names[name] = inode
        self._lay_out(self._root, names, self._surviving(moment, luck), into)

    def _is_flushed(self, event: Renamed, number: int, moment: int) -> bool:
        given = {folder for (folder, _), inode in event.names.items() if inode is not None}
        folders = given or {folder for folder, _ in event.names}
        later = self.events[number + 1 : moment]
        return any(isinstance(e, Flushed) and e.inode in folders for e in later)

    def _surviving(self, moment: int, luck: Luck) -> dict[int, bytes]:
        kept, latest = dict(self._contents), dict(self._contents)
        for event in self.events[:moment]:
            if isinstance(event, Written):
                latest[event.inode] = event.content
            elif isinstance(event, Flushed) and event.inode in latest:
                kept[event.inode] = latest[event.inode]
        for inode, content in latest.items():
            if kept.get(inode) != content:
                options = [kept.get(inode, b""), content[: len(content) // 2], content]
                kept[inode] = luck.choice(options)
        return kept

    def _lay_out(
        self, folder: int, names: dict[Name, int], contents: dict[int, bytes], into: Path
    ) -> None:
        for (above, name), inode in names.items():
            if above == folder and inode in contents:
                (into / name).write_bytes(contents[inode])
            elif above == folder:
                (into / name).mkdir()
                self._lay_out(inode, names, contents, into / name)


def losses(recording: Recording, folder: Path, tries: int = 6) -> Iterator[tuple[Path, list[Any]]]:
    """Of each moment, some folders that a power loss may leave, and the remarks that came before it."""
    for moment in range(len(recording.events) + 1):
        for seed in range(tries):
            into = folder / f"{moment}-{seed}"
            into.mkdir(parents=True)
            recording.after_power_loss(moment, Luck(seed + tries * moment), into)
            yield into, recording.reached_by(moment)


_now: Recording | None = None


def _hook(event: str, _: Any) -> None:
    if _now is not None and event in WATCHED:
        _now.look()


sys.addaudithook(_hook)  # there is no way to remove one


@contextmanager
def recording(root: Path) -> Iterator[Recording]:
    global _now
    fsync, one = os.fsync, Recording(root)

    def recorded(file: int) -> None:
        fsync(file)
        one.flushed(os.fstat(file).st_ino)

    _now = one
    try:
        with mock.patch("os.fsync", recorded):
            yield one
    finally:
        _now = None
        one.close()
