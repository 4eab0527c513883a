"""What killed processes left in the project and in the temporary folder, and the sizes of .drdd's folders.

A leftover is at least a day old, of this user, used by no process, and made again by whoever needs it.
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

import psutil

from drdd.cluster.sessions import JOBS, SCRATCH, answers, ended_sessions, sessions_folder
from drdd.private_files import socket_base
from drdd.storage.versions import node_cache
from infra.doctor.finding import Site, note
from infra.local.settings import ray_folder, short_folder
from infra.local.supervisor import stacks_running

OLD_S = 24 * 3600.0
OLD_LOG_S, OLD_SHARD_S = 7 * OLD_S, 30 * OLD_S
CLEAN = "drdd doctor --clean"
STATE = Path(".drdd")
WRITTEN = (STATE, Path("data"), Path("models"), Path("results"))
NOT_ENTERED = {".git", ".venv", "s3"}
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{12}\.tmp|\.pull-.+")
_WORKER_LOG = re.compile(r"(?:python-core-)?worker-.*[-_](\d+)\.(?:out|err|log)(?:\.\d+)?")


@dataclass(frozen=True)
class Leftover:
    """size: bytes."""

    path: Path
    why: str
    size: int


def leftovers(root: Path) -> list[Leftover]:
    temporary = Path(gettempdir())
    short = socket_base()  # another one if that is too long for sockets
    found = {
        "unfinished file of a killed process": _unfinished(root),
        "session of a Ray cluster that has ended": _sessions(root),
        "socket of a store that has ended": _store_sockets(),
        "temporary folder of a stack that does not run": _stacks(short),
        "temporary folder of a training that has ended": _of_ended(temporary, SCRATCH),
        "temporary folder of a worker that has ended": _of_ended(short, JOBS),
        "socket folder of a Python process that has ended": _listeners(temporary),
        "log of a process of Ray that has ended": _worker_logs(root),
        "shard not used for a month, which can be fetched again": _shards(),
    }
    return [Leftover(path, why, size(path)) for why, paths in found.items() for path in paths]


def clean(root: Path) -> list[Leftover]:
    """Delete the leftovers; returns those that are gone."""
    found = leftovers(root)
    for one in found:
        if one.path.is_dir() and not one.path.is_symlink():
            shutil.rmtree(one.path, ignore_errors=True)
        else:
            with suppress(OSError):
                one.path.unlink()
    return [one for one in found if not one.path.exists()]


def room(site: Site) -> str:
    """How large the folders in .drdd are, and what may be deleted."""
    folders = sorted((site.root / STATE).glob("*")) if (site.root / STATE).exists() else []
    sizes = {path.name: size(path) for path in folders if path.is_dir()}
    large = sorted(sizes.items(), key=lambda item: -item[1])
    said = f"{STATE}: {mib(sum(sizes.values()))}"
    said += "".join(f", {name} {mib(one)}" for name, one in large if one >= 2**20)
    if found := leftovers(site.root):
        whys = {one.why: 0 for one in found}
        for one in found:
            whys[one.why] += 1
        counted = ", ".join(f"{count} x {why}" for why, count in whys.items())
        total = mib(sum(one.size for one in found))
        raise note(f"{said}; leftovers of {total}: {counted}", CLEAN)
    return f"{said}; no leftovers"


def size(path: Path) -> int:
    """Of a file, or of all files in a folder, bytes. Links are not followed."""
    if not path.is_dir() or path.is_symlink():
        return _stat(path)
    return sum(_stat(Path(folder) / name) for folder, _, names in os.walk(path) for name in names)


def mib(size: float) -> str:
    return f"{size / 2**20:,.1f} MiB"


def _stat(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _unfinished(root: Path) -> Iterator[Path]:
    for top in WRITTEN:
        for folder, folders, names in os.walk(root / top):
            for name in filter(_UNFINISHED.fullmatch, [*folders, *names]):
                path = Path(folder) / name
                if _is_old(path) and not _is_locked(path):
                    yield path
            folders[:] = [
                n for n in folders if n not in NOT_ENTERED and not _UNFINISHED.fullmatch(n)
            ]


def _sessions(root: Path) -> Iterator[Path]:
    for folder in {sessions_folder(), ray_folder(root)}:
        yield from ended_sessions(folder)


def _shards() -> Iterator[Path]:
    for path in node_cache().glob("*"):
        if re.fullmatch(r"[0-9a-f]{32}", path.name) and _is_old(path, OLD_SHARD_S):
            yield path


def _store_sockets() -> Iterator[Path]:
    """Of stacks that were killed and not started again; SeaweedFS makes them in a fixed place."""
    for path in Path("/tmp").glob("seaweedfs-*.sock"):
        if _is_old(path) and not answers(path):
            yield path


def _stacks(temporary: Path) -> Iterator[Path]:
    running = {short_folder(root) for root in stacks_running()}
    for path in temporary.glob(f"drdd-{os.getuid()}-????????"):
        if path not in running and _is_old(path) and not answers(path / "supervisor.sock"):
            yield path


def _of_ended(temporary: Path, prefix: str) -> Iterator[Path]:
    for path in temporary.glob(f"{prefix}*"):
        pid = path.name.removeprefix(prefix).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)) and _is_old(path):
            yield path


def _listeners(temporary: Path) -> Iterator[Path]:
    """Of multiprocessing, which Ray and Prefect use; a killed process leaves its own."""
    for path in temporary.glob("pymp-*"):
        inside = list(path.glob("*")) if _is_old(path) else []
        if inside and all(one.name.startswith("listener-") and not answers(one) for one in inside):
            yield path


def _worker_logs(root: Path) -> Iterator[Path]:
    for path in ray_folder(root).glob("session_*/logs/*"):
        if path.parent.parent.is_symlink() or (found := _WORKER_LOG.fullmatch(path.name)) is None:
            continue
        if not psutil.pid_exists(int(found[1])) and _is_old(path, OLD_LOG_S):
            yield path


def _is_old(path: Path, age_s: float = OLD_S) -> bool:
    """Whether it is this user's, and nothing in it has changed for so long."""
    before = time.time() - age_s
    try:
        inside = [path, *path.rglob("*")] if path.is_dir() else [path]
        stats = [one.lstat() for one in inside]
    except OSError:  # it changes at this moment
        return False
    return stats[0].st_uid == os.getuid() and all(stat.st_mtime < before for stat in stats)


def _is_locked(path: Path) -> bool:
    """Whether a process writes the folder; see drdd.files.atomic_folder."""
    if not path.is_dir():
        return False
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
