"""The project's folder: params, git, DVC and its remote."""

import fcntl
import json
import subprocess
import tempfile
from pathlib import Path

import psutil
from configobj import ConfigObj, ConfigObjError

from drdd.errors import UserError
from drdd.params import FILE, load
from drdd.text import read_text
from infra.doctor.finding import ANSWER_S, Site, note, problem, said, warning
from infra.doctor.places import bucket, writable

CONFIGS = (".dvc/config", ".dvc/config.local")
OF_A_REMOTE = {
    "endpointurl": "AWS_ENDPOINT_URL_S3",
    "access_key_id": "AWS_ACCESS_KEY_ID",
    "secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "session_token": "AWS_SESSION_TOKEN",
    "region": "AWS_DEFAULT_REGION",
    "profile": "AWS_PROFILE",
}
CLONE = 0x40049409  # ioctl FICLONE: files that share their blocks
Settings = dict[str, dict[str, str]]


def params(site: Site) -> str:
    try:
        load(site.root / FILE)
    except UserError as error:
        raise problem(str(error), f"correct {FILE}, or go to the project") from None
    return f"{FILE} is valid"


def git(site: Site) -> str:
    """A commit is what a published model says it was made from, and what runs start from."""
    start = "git init && git add --all && git commit -m start"
    command = ["git", "-C", str(site.root), "status", "--porcelain=v2", "--branch"]
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=2 * ANSWER_S
    )
    if done.returncode:
        raise problem(f"{site.root.resolve()} is no checkout", start)
    commit = done.stdout.split()[2]  # "# branch.oid COMMIT"
    if commit == "(initial)":
        raise problem("there is no commit yet", start)
    changed = sum(not line.startswith("#") for line in done.stdout.splitlines())
    return f"commit {commit[:7]}" + (f", {changed} changed" if changed else "")


def dvc(site: Site) -> str:
    if not (site.root / ".dvc").is_dir():
        raise problem("there is no .dvc folder here", "dvc init")
    try:
        settings = _read(site.root)
    except (ConfigObjError, OSError, UserError) as error:
        do = f"put it right: {' or '.join(CONFIGS)}; `dvc config --list` shows the rest"
        raise problem(f"its configuration cannot be read: {said(error)}", do) from None
    site_cache = settings.get("core", {}).get("site_cache_dir")
    if not (site.environment.get("DVC_SITE_CACHE_DIR") or site_cache):
        raise warning(
            "it keeps pickled indexes in a folder of all users, who may put programs there",
            "make setup (or: dvc config --local core.site_cache_dir FOLDER, of mode 0700)",
        )
    return f"its configuration can be read: {len(settings)} section(s)"


def _read(root: Path) -> Settings:
    merged: Settings = {}
    for name in CONFIGS:
        if (root / name).exists():
            lines = read_text(root / name, name).splitlines()
            for section, values in ConfigObj(lines, interpolation=False).items():
                merged.setdefault(section.replace("'", "").replace('"', ""), {}).update(values)
    return merged


def _settings(root: Path) -> Settings | None:
    """None when there are none, or none that can be read, which the check `dvc` says."""
    try:
        return _read(root) if (root / ".dvc").is_dir() else None
    except (ConfigObjError, OSError, UserError):
        return None


def dvc_remote(site: Site) -> str | None:
    if (settings := _settings(site.root)) is None:
        return None
    name = settings.get("core", {}).get("remote")
    remote = settings.get(f"remote {name}", {})
    url = remote.get("url", "")
    if not name or not url:
        found = f"remote {name!r} has no url" if name else "no remote"
        do = "dvc remote add -d storage s3://bucket/prefix"
        raise warning(f"{found}; data stay on this machine", do)
    if url.startswith("s3://"):
        own = {variable: remote[key] for key, variable in OF_A_REMOTE.items() if remote.get(key)}
        return bucket(site, url, own)
    if "://" in url:
        raise note(f"{url}: not examined", "dvc status -c")
    do = "change its permissions, or `dvc remote modify` to another place"
    return writable((site.root / ".dvc" / url).resolve(), do)


def dvc_lock(site: Site) -> str | None:
    """The holder of DVC's locks, or None."""
    folder = site.root / ".dvc/tmp"
    if holder := _holder(folder / "lock"):
        raise note(
            f"locked by process {holder}", f"wait for it to end; if it hangs: ps -p {holder}"
        )
    path = folder / "rwlock"
    try:
        entries = json.loads(path.read_text()) if path.exists() else {}
        infos = [
            *entries.get("write", {}).values(),
            *(info for readers in entries.get("read", {}).values() for info in readers),
        ]
        pids = {int(info["pid"]) for info in infos if info}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise problem(f"{path} is damaged", f"rm {path}") from None
    if dead := sorted(pid for pid in pids if not psutil.pid_exists(pid)):
        do = f"nothing, DVC clears it at its next command; if it does not: rm {path}"
        raise note(f"a lock of a dead process ({', '.join(map(str, dead))}) is left", do)
    return None


def _holder(lock: Path) -> str:
    """The process that holds a lock file; "" when the file is not locked."""
    try:
        with lock.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip() or "unknown"
    except OSError:
        pass
    return ""


def cache_folder(root: Path) -> Path:
    """Where DVC keeps what it has versions of."""
    chosen = (_settings(root) or {}).get("cache", {}).get("dir", "cache")
    return (root / ".dvc" / chosen).absolute()


def dvc_cache(site: Site) -> str | None:
    """Whether it can be written, and how its files are linked to the workspace."""
    if _settings(site.root) is None:
        return None
    cache = cache_folder(site.root)
    writable(cache, "change its permissions, or choose another: dvc cache dir --local PATH")
    there = next(one for one in (cache, *cache.parents) if one.exists())
    shared = there.stat().st_dev == site.root.stat().st_dev and _clones(there)
    how = "files share blocks with the workspace" if shared else "files lie twice, as copies"
    return f"{cache}: {how}"


def _clones(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder) as one, tempfile.TemporaryFile(dir=folder) as two:
            one.write(b"x")
            one.flush()
            fcntl.ioctl(two.fileno(), CLONE, one.fileno())
    except OSError:
        return False
    return True
