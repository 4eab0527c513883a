"""List local folders safely: circular links, pipes, names that are not UTF-8."""

import heapq
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO


@dataclass(frozen=True)
class Found:
    """below: path below the root; refusal: for a folder, why it cannot be listed."""

    below: str
    refusal: str = ""


def files_below(root: str) -> Iterator[Found]:
    """Yield all files, and folders that cannot be listed, in any order, without hidden ones.

    Links to folders are followed, each folder being listed once: under its own path if that is below
    `root`, else under the path with the fewest links, the first by name. Raises OSError when the
    root itself cannot be listed.
    """
    waiting = [(0, "")]  # links followed, path below the root
    listed: set[tuple[int, int]] = set()
    while waiting:
        links, folder = heapq.heappop(waiting)
        try:
            state = os.stat(os.path.join(root, folder))  # noqa: PTH116, PTH118
            if (state.st_dev, state.st_ino) in listed:
                continue
            listed.add((state.st_dev, state.st_ino))
            with os.scandir(os.path.join(root, folder)) as found:  # noqa: PTH118
                items = list(found)
        except OSError as error:
            if not folder:
                raise
            yield Found(folder, f"a folder that cannot be listed ({error.strerror})")
            continue
        for item in items:
            below = f"{folder}/{item.name}" if folder else item.name
            if is_hidden(item.name):
                continue
            if _is_folder(item):
                heapq.heappush(waiting, (links + item.is_symlink(), below))
            else:
                yield Found(below)


def unwatchable(root: str) -> str:
    """Why DVC cannot watch a local folder, "" if it can: it reads no name that is not UTF-8."""
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            if (said := decoded_name(name)) != name:
                where = decoded_name(os.path.join(folder, said))  # noqa: PTH118
                remedy = "rename it, or pack the folder into an archive"
                return f"{where}: a name that is no UTF-8, which DVC cannot watch; {remedy}"
    return ""


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # circular links: reading the file will report it
        return False


def is_hidden(name: str) -> bool:
    """Whether a part of the path is hidden or added by file managers."""
    parts = name.split("/")
    return any(
        part == "__MACOSX" or (part.startswith(".") and part not in (".", "..")) for part in parts
    )


def open_regular(path: str) -> BinaryIO:
    """Open for reading. Raises OSError, and ValueError when it is not a regular file."""
    # Without O_NONBLOCK, opening a pipe waits for a writer.
    try:
        file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    except IsADirectoryError:
        raise ValueError("a folder, no file") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError("no regular file")
    return file


def is_utf8(name: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in name)


def decoded_name(text: str) -> str:
    """Replace surrogates, from bytes that are not UTF-8, by text such as "\\xff"."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
