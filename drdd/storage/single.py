"""Write one file by its whole name, in a folder or on S3."""

import errno
import os
import stat
from pathlib import Path

from drdd.files import write_bytes
from drdd.storage.filesystems import explained
from drdd.storage.objects import Store


def write_object(uri: str, content: bytes) -> None:
    """Write one object, or a local file with its folder. Raises as the methods of Store."""
    if "://" in uri:
        place, _, name = uri.rpartition("/")
        Store(place).put(name, content)
        return
    with explained(uri):
        write_bytes(Path(uri), content)


def refuse_unwritable(uri: str) -> None:
    """Raise UserError when a local file, or a folder with a / behind it, certainly cannot be written.

    That is known before long work: a file is in the place of a folder, a name is too long, or what is there
    is protected, also a file that only would be replaced. Objects are not asked about.
    """
    if "://" in uri:
        return
    with explained(uri):
        found, state = _nearest(uri)
        if found != uri and not stat.S_ISDIR(state.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), found)
        if not os.access(found, os.W_OK | (os.X_OK if stat.S_ISDIR(state.st_mode) else 0)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), found)


def _nearest(name: str) -> tuple[str, os.stat_result]:
    """Of a name and the folders above it, the first that exists. Raises OSError, ValueError."""
    while True:
        try:
            return name or ".", os.stat(name or ".")  # noqa: PTH116, as Path drops the / at the end
        except (FileNotFoundError, NotADirectoryError):
            name = os.path.dirname(name)  # noqa: PTH120
