"""Ray's token, and the folder of private clusters: both are this user's alone.

Whoever has the token of a cluster runs code in it. Ray opens the folders of a session to all users, so
they lie in a folder that is closed.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from drdd.private_files import private_folder, socket_base


def write_token(path: Path) -> None:
    """A token for RAY_AUTH_TOKEN_PATH. One that is there is kept: processes have read it."""
    with suppress(FileExistsError), NamedTemporaryFile(dir=path.parent) as file:
        file.write(secrets.token_hex(32).encode())
        file.flush()
        os.fsync(file.fileno())
        os.link(file.name, path)


def ray_tmpdir() -> Path:
    """Where the sessions of this user's private clusters are: RAY_TMPDIR, or a folder below TMPDIR."""
    given = os.environ.get("RAY_TMPDIR")
    return Path(given) if given else socket_base() / f"drdd-ray-{os.getuid()}"


def private_cluster() -> dict[str, str]:
    """The settings with which private clusters have a token and a closed folder.

    RAY_AUTH_MODE is not among them, because Ray reads it when it is imported; if it is not set, `ray.init`
    turns the token on. Raises UserError when the folder is another user's, or open to others.
    """
    folder = private_folder(ray_tmpdir())
    write_token(folder / "token")
    return {"RAY_TMPDIR": str(folder), "RAY_AUTH_TOKEN_PATH": str(folder / "token")}
