"""Files and folders that no other user may read, write or put in our way; and where sockets go."""

import os
import stat
from pathlib import Path
from tempfile import gettempdir

from drdd.errors import UserError
from drdd.files import atomic_path, flush, make_folder

SOCKET_PATH = 103  # bytes that the path of a Unix socket may have, on macOS; Linux allows four more
INNER = 88  # of them below `socket_base`, at most: a socket in a session of a stack's Ray
SHORT = Path("/tmp")
OTHERS = stat.S_IRWXG | stat.S_IRWXO
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def private_folder(path: Path) -> Path:
    """Make a folder for this user alone, if there is none; its path.

    Raises UserError when something stands there that another user made, or may have put files into.
    """
    make_folder(path.parent)
    try:
        path.mkdir(mode=0o700)
        flush(path.parent)
    except FileExistsError:
        refuse_shared(path)
        path.chmod(0o700)
    return path


def refuse_shared(path: Path) -> Path:
    """The path, if nothing is there, or a folder of this user into which no other may write.

    Raises UserError otherwise: whoever made it would read what is kept there, or answer in our name.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return path
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
        if not found.st_mode & OTHERS_WRITE:
            return path
        what = "a folder into which other users may write"
    elif stat.S_ISDIR(found.st_mode):
        what = "a folder of another user"
    else:
        what = "no folder"
    remedy = "delete it, or set TMPDIR to a folder of your own"
    raise UserError(f"{path} must be private, and is {what}", remedy)


def socket_base() -> Path:
    """The temporary folder, or /tmp if its path is too long for sockets, as batch systems set TMPDIR.

    Raises UserError when neither will do.
    """
    place, most = gettempdir(), SOCKET_PATH - INNER
    if len(os.fsencode(place)) <= most:
        return Path(place)
    if os.access(SHORT, os.W_OK | os.X_OK):
        return SHORT
    raise UserError(
        f"the temporary folder {place} is too long for sockets, and {SHORT} may not be written",
        f"set TMPDIR to a folder of {most} letters at most",
    )


def write_private(path: Path, content: bytes) -> None:
    """Write a file that is this user's alone from its first byte on."""
    with atomic_path(path) as temporary:
        temporary.touch(mode=0o600, exist_ok=False)
        temporary.write_bytes(content)
