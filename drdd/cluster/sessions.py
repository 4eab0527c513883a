"""Folders that clusters leave: ours, and Ray's sessions of logs and sockets, which Ray never deletes."""

import os
import shutil
import socket
import time
from pathlib import Path

from drdd.cluster.token import ray_tmpdir

# Begin the names of the temporary folders of a training and of the worker; a process id follows.
SCRATCH, JOBS = "drdd-train-", "drdd-jobs-"
KEPT_S = 24 * 3600.0  # the logs of a cluster that has ended are kept for so long


def sessions_folder() -> Path:
    """Where Ray makes the sessions of private clusters."""
    return ray_tmpdir() / "ray"


def ended_sessions(folder: Path, kept_s: float = KEPT_S) -> list[Path]:
    """The sessions of this user in `folder` whose cluster ended at least `kept_s` ago."""
    before = time.time() - kept_s
    return [
        path
        for path in sorted(folder.glob("session_*"))
        if not path.is_symlink()
        and path.is_dir()
        and path.stat().st_uid == os.getuid()
        and max(_times(path)) < before
        and not any(answers(one) for one in (path / "sockets").glob("*"))
    ]


def delete_ended_sessions() -> None:
    """Delete those of private clusters, so that they do not fill the disk."""
    for path in ended_sessions(sessions_folder()):
        shutil.rmtree(path, ignore_errors=True)


def answers(path: Path) -> bool:
    """Whether a process, on this machine or in a container, listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1.0)
        try:
            client.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return path.is_socket()  # it cannot be asked: leave it alone
    return True


def _times(session: Path) -> list[float]:
    """Of the session, and of the folders and logs that change while it lives."""
    found = [session, *session.glob("*"), *session.glob("logs/*")]
    return [path.stat().st_mtime for path in found if path.exists()]
