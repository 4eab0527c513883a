"""The project's folder: params, git, DVC and its remote."""

import fcntl
import json
import os
import subprocess
import tempfile
from pathlib import Path

import psutil
from configobj import ConfigObj, ConfigObjError

from drdd.errors import UserError
from drdd.params import FILE, load
from infra.doctor.buckets import Keys, trial
from infra.doctor.finding import ANSWER_S, Finding, Site, said

CONFIGS = (".dvc/config", ".dvc/config.local")
CLONE = 0x40049409  # ioctl FICLONE: files that share their blocks
ADD = "dvc remote add -d storage s3://bucket/prefix"


def params(site: Site) -> list[Finding]:
    try:
        load(site.root / FILE)
    except UserError as error:
        return [Finding("params", "problem", str(error), f"correct {FILE}, or go to the project")]
    return [Finding("params", "ok", f"{FILE} is valid")]


def git(site: Site) -> list[Finding]:
    """A commit is what a published model says it was made from, and what runs start from."""
    start = "git init && git add --all && git commit -m start"
    if not _git(site.root, "rev-parse", "--is-inside-work-tree"):
        return [Finding("git", "problem", f"{site.root.resolve()} is no checkout", start)]
    commit = _git(site.root, "rev-parse", "--short", "--verify", "HEAD")
    if not commit:
        return [Finding("git", "problem", "there is no commit yet", start)]
    changed = len(_git(site.root, "status", "--porcelain").splitlines())
    return [Finding("git", "ok", f"commit {commit}" + (f", {changed} changed" if changed else ""))]


def _git(root: Path, *arguments: str) -> str:
    """What git says; "" when it refuses or is not there."""
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * ANSWER_S)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def dvc(site: Site) -> list[Finding]:
    """Its configuration, its remote, its locks, and how its cache is linked to the workspace."""
    if not (site.root / ".dvc").is_dir():
        return [Finding("dvc", "problem", "there is no .dvc folder here", "dvc init")]
    try:
        settings = _settings(site.root)
    except (ConfigObjError, OSError) as error:
        do = f"put it right: {' or '.join(CONFIGS)}; `dvc config --list` shows the rest"
        return [Finding("dvc", "problem", f"its configuration cannot be read: {said(error)}", do)]
    return [_remote(site, settings), *_locks(site.root), _links(site.root)]


def _settings(root: Path) -> dict[str, dict[str, str]]:
    merged: dict[str, dict[str, str]] = {}
    for name in CONFIGS:
        if (root / name).exists():
            lines = (root / name).read_text().splitlines()
            for section, values in ConfigObj(lines, interpolation=False).items():
                merged.setdefault(section.replace("'", "").replace('"', ""), {}).update(values)
    return merged


def cache_folder(root: Path) -> Path:
    """Where DVC keeps what it has versions of."""
    try:
        chosen = _settings(root).get("cache", {}).get("dir", "cache")
    except (ConfigObjError, OSError):
        chosen = "cache"
    return (root / ".dvc" / chosen).absolute()


def _remote(site: Site, settings: dict[str, dict[str, str]]) -> Finding:
    name = settings.get("core", {}).get("remote")
    remote = settings.get(f"remote {name}", {})
    url = remote.get("url", "")
    if not name or not url:
        found = f"remote {name!r} has no url" if name else "no remote"
        return Finding("dvc remote", "warning", f"{found}; data stay on this machine", ADD)
    if url.startswith("s3://"):
        return _bucket(site, url, remote)
    if "://" in url:
        return Finding("dvc remote", "note", f"{url}: not examined", "dvc status -c")
    folder = (site.root / ".dvc" / url).resolve()
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if not os.access(there, os.W_OK):
        do = "change its permissions, or `dvc remote modify` to another place"
        return Finding("dvc remote", "problem", f"{there} may not be written", do)
    return Finding("dvc remote", "ok", f"{folder} may be written")


def _bucket(site: Site, url: str, remote: dict[str, str]) -> Finding:
    """With the remote's own settings, and for what it has none of, those of the environment."""
    settings = site.bucket_settings
    around = Keys.of(settings or {})
    keys = Keys(
        endpoint=remote.get("endpointurl") or around.endpoint,
        access=remote.get("access_key_id") or around.access,
        secret=remote.get("secret_access_key") or around.secret,
        token=remote.get("session_token") or around.token,
        region=remote.get("region") or around.region,
        profile=remote.get("profile") or around.profile,
    )
    if not keys.are_given and settings is None:
        do = "drdd up; or set AWS_* to reach another S3"
        return Finding("dvc remote", "note", f"{url}: the local stack is not running", do)
    return trial("dvc remote", url, keys, conditional=False)


def _locks(root: Path) -> list[Finding]:
    folder = root / ".dvc/tmp"
    found = []
    if holder := _holder(folder / "lock"):
        do = f"wait for it to end; if it hangs: ps -p {holder}"
        found.append(Finding("dvc", "note", f"locked by process {holder}", do))
    path = folder / "rwlock"
    try:
        entries = json.loads(path.read_text()) if path.exists() else {}
        infos = [
            *entries.get("write", {}).values(),
            *(info for readers in entries.get("read", {}).values() for info in readers),
        ]
        pids = {int(info["pid"]) for info in infos if info}
    except (ValueError, TypeError, KeyError, AttributeError):
        found.append(Finding("dvc", "problem", f"{path} is damaged", f"rm {path}"))
        return found
    if dead := sorted(pid for pid in pids if not psutil.pid_exists(pid)):
        listed = ", ".join(map(str, dead))
        do = f"nothing, DVC clears it at its next command; if it does not: rm {path}"
        found.append(Finding("dvc", "note", f"a lock of a dead process ({listed}) is left", do))
    return found


def _holder(lock: Path) -> str:
    """The process that holds a lock file; "" when it is free. A file that nobody locks is no lock."""
    try:
        with lock.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip() or "unknown"
    except OSError:
        pass
    return ""


def _links(root: Path) -> Finding:
    cache = cache_folder(root)
    there = next(one for one in (cache, *cache.parents) if one.exists())
    if not os.access(there, os.W_OK):
        do = "change its permissions, or choose another: dvc cache dir --local PATH"
        return Finding("dvc cache", "problem", f"{there} may not be written", do)
    shared = there.stat().st_dev == root.stat().st_dev and _clones(there)
    how = "files share blocks with the workspace" if shared else "files lie twice, as copies"
    return Finding("dvc cache", "ok", f"{cache}: {how}")


def _clones(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder) as one, tempfile.TemporaryFile(dir=folder) as two:
            one.write(b"x")
            one.flush()
            fcntl.ioctl(two.fileno(), CLONE, one.fileno())
    except OSError:
        return False
    return True
