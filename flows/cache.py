"""Fetch, verify and push outputs in DVC's cache and remote.

Every function handles one stage, so that a run transfers only what it needs and what it made.
"""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import file_digest, md5
from pathlib import Path
from typing import Any

import networkx as nx
import yaml
from dvc.exceptions import CollectCacheError, DownloadError
from dvc.repo import Repo
from dvc.stage import Stage
from dvc.stage.cache import RunCacheNotFoundError

from drdd.errors import TransientError, UserError
from drdd.files import atomic_path, write_bytes
from drdd.params.yaml_text import load_yaml
from flows.dvc_internals import run_cache_key

AWAY = "`drdd doctor` shows which service does not answer; then start the run again"


def missing(repo: Repo, stage: Stage) -> list[str]:
    """Outputs of the stage that are neither in the workspace, nor in the cache, nor in the remote."""
    return [str(out) for out in stage.outs if not _is_there(repo, out)]


def _is_there(repo: Repo, out: Any) -> bool:
    if out.exists and not out.changed_checksum():
        return True
    try:
        objects = _objects([out])
    except CollectCacheError:
        return False
    absent = [one for one in objects if not repo.cache.local.exists(one)]
    remote = _remote(repo)
    if not objects or not absent or remote is None:
        return bool(objects) and not absent
    return set(remote.odb.oids_exist(absent)) >= set(absent)


def fetch_deps(repo: Repo, stage: Stage) -> None:
    """Fetch dependencies that are not in the workspace, from the cache or else from the remote."""
    fetch(repo, [dep.fs_path for dep in stage.deps if dep.protocol == "local" and not dep.exists])


def fetch_upstream(repo: Repo, stage: Stage) -> None:
    """Fetch outputs of all earlier stages, because tables that this stage reads refer to their pictures."""
    before = nx.descendants(repo.index.graph, stage)
    fetch(repo, [out.fs_path for one in before for out in one.outs if not out.exists])


def fetch(repo: Repo, paths: Iterable[str]) -> None:
    """Bring outputs at, below or above these paths to the workspace, undamaged.

    Raises DvcException when one is not available anywhere, TransientError when the remote fails.
    """
    wanted = [str(Path(path).absolute()) for path in paths]
    outs = [out for out in repo.index.outs if any(_overlap(out.fs_path, path) for path in wanted)]
    if not outs:
        return  # without targets, DVC would fetch everything
    cached = [out for out in outs if out.use_cache and out.hash_info]
    # First the object of a folder, which lists the others; it is fetched if it is missing.
    _drop_damaged(repo, (str(out.hash_info.value) for out in cached))
    _drop_damaged(repo, _objects(cached))
    try:
        repo.pull([out.fs_path for out in outs])
    except DownloadError as error:
        raise TransientError(f"DVC's remote: {error}", AWAY) from error


def restore_cached(repo: Repo, stage: Stage, key: str) -> bool:
    """Restore outputs that were made before, here or in another workspace with the same remote.

    Returns whether there were any; they are then in the workspace, undamaged. key: of the stage's present
    dependencies.
    """
    folder, remote = _entry(repo, key), _remote(repo)
    if remote is not None and not folder.exists():
        url = _remote_entry(remote, key)
        for path in remote.fs.find(url) if remote.fs.exists(url) else []:
            with atomic_path(folder / Path(path).name) as copied:
                remote.fs.get_file(path, str(copied))
    if not folder.exists():
        return False
    found = [path for path in folder.iterdir() if not path.name.startswith(".")]  # whole ones
    for out in stage.outs:
        out.clear()  # else DVC looks for the outputs in dvc.lock, which may be of other inputs, or lost
    try:
        outs = [out for path in found for out in load_yaml(path)["outs"]]
        _drop_damaged(repo, (out["md5"] for out in outs))
        used = repo.stage_cache.get_used_objs([(key, path.name) for path in found])
        _drop_damaged(repo, _values(used))
        repo.stage_cache.restore(stage, pull=remote is not None)
    except (RunCacheNotFoundError, CollectCacheError):
        return False
    except (UserError, yaml.YAMLError, KeyError, TypeError):
        return False  # a damaged entry, which DVC deletes when the stage runs
    return True


def key(stage: Stage) -> str:
    """The run cache key of the stage: a hash of all that decides its outputs, as it is in the workspace."""
    stage.save_deps()
    return run_cache_key(stage)


def _drop_damaged(repo: Repo, objects: Iterable[str]) -> None:
    """Delete objects from the cache whose content does not match their hash.

    DVC itself trusts files that it made read-only.
    """
    for oid in objects:
        path = Path(repo.cache.local.oid_to_path(oid))
        if path.exists() and _md5(path) != oid.split(".")[0]:
            path.unlink()


def mark_unpushed(repo: Repo, stage: Stage) -> None:
    """Note that outputs in dvc.lock are not in the remote, until `push` has sent them."""
    if _remote(repo) is not None:
        write_bytes(_mark(repo, stage), b"")


def is_unpushed(repo: Repo, stage: Stage) -> bool:
    return _mark(repo, stage).exists()


def _mark(repo: Repo, stage: Stage) -> Path:
    """The file of the note, in the cache, because any workspace may have made the objects."""
    values = " ".join(sorted(str(out.hash_info.value) for out in stage.outs))
    return Path(repo.cache.legacy.path) / "unpushed" / md5(values.encode()).hexdigest()


def push(repo: Repo, stage: Stage, key: str) -> None:
    """Push the stage's outputs and run cache entry to the remote, if there is one and it lacks them.

    Unlike `dvc push`, this does not hold DVC's lock, because other stages run at the same time. Raises
    TransientError when some objects do not arrive.
    """
    remote = _remote(repo)
    if remote is None:
        return
    failed = repo.cloud.push(_infos(stage.outs), odb=remote.odb).failed
    if failed:
        said = f"{stage.addressing}: {len(failed)} objects did not reach DVC's remote"
        raise TransientError(said, AWAY)
    folder = _entry(repo, key)
    for path in folder.iterdir() if folder.exists() else []:
        there = remote.fs.join(_remote_entry(remote, key), path.name)
        if not remote.fs.exists(there):
            remote.fs.put_file(str(path), there)
    _mark(repo, stage).unlink(missing_ok=True)


def connect(repo: Repo) -> None:
    """Send a request to the remote, so that later ones need not wait for the connection."""
    remote = _remote(repo)
    if remote is not None:
        remote.fs.exists(remote.path)


def _infos(outs: Iterable[Any]) -> set[Any]:
    return {info for out in outs for infos in out.get_used_objs().values() for info in infos}


def _objects(outs: Iterable[Any]) -> list[str]:
    return sorted({str(info.value) for info in _infos(outs)})


def _values(used: dict[Any, set[Any]]) -> set[str]:
    return {str(info.value) for infos in used.values() for info in infos}


@lru_cache(maxsize=2)
def _remote(repo: Repo) -> Any:
    """The remote, or None. It is cached, because DVC would connect to the store each time."""
    return repo.cloud.get_remote() if repo.config["core"].get("remote") else None


def _entry(repo: Repo, key: str) -> Path:
    """The folder of a run cache entry, with one file for each version of the outputs."""
    return Path(repo.stage_cache.cache_dir) / key[:2] / key


def _remote_entry(remote: Any, key: str) -> str:
    return str(remote.fs.join(remote.path, "runs", key[:2], key))


def _overlap(one: str, other: str) -> bool:
    a, b = Path(one), Path(other)
    return a.is_relative_to(b) or b.is_relative_to(a)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "md5").hexdigest()
