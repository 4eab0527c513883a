"""DVC's cache and remote, as a run needs them: what is there, what is damaged, what goes where.

All of it concerns one stage at a time, so that a run moves only what it needs and what it made.
"""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import file_digest, md5
from pathlib import Path
from typing import Any

import networkx as nx
from dvc.exceptions import CollectCacheError
from dvc.repo import Repo
from dvc.stage import Stage
from dvc.stage.cache import _get_stage_hash  # DVC gives the run cache's key no other way

from drdd.errors import TransientError


def lost(repo: Repo, stage: Stage) -> list[str]:
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


def bring(repo: Repo, stage: Stage) -> None:
    """What the stage depends on and is not in the workspace, from the cache, else from the remote."""
    show(repo, [dep.fs_path for dep in stage.deps if dep.protocol == "local" and not dep.exists])


def bring_all(repo: Repo, stage: Stage) -> None:
    """What any of the stages before it made: tables that it reads name pictures that lie elsewhere."""
    before = nx.descendants(repo.index.graph, stage)
    absent = [out.fs_path for one in before for out in one.outs if not out.exists]
    show(repo, absent)


def show(repo: Repo, paths: Iterable[str]) -> None:
    """Outputs at, below or above these paths are in the workspace afterwards, undamaged.

    Raises DvcException when one is nowhere to be had.
    """
    wanted = [str(Path(path).absolute()) for path in paths]
    outs = [out for out in repo.index.outs if any(_overlap(out.fs_path, path) for path in wanted)]
    mend(repo, outs)
    _fetch(repo, outs)
    for out in outs:
        out.checkout()


def mend(repo: Repo, outs: Iterable[Any]) -> None:
    """Delete from the cache those objects of `outs` whose content is not what their name says.

    DVC itself trusts a file that it has made read-only.
    """
    outs = [out for out in outs if out.use_cache and out.hash_info]
    # A folder's own object first: it says which are the others, and is fetched if it is missing.
    for oid in (str(out.hash_info.value) for out in outs):
        _drop_if_damaged(repo, oid)
    for oid in _objects(outs):
        _drop_if_damaged(repo, oid)


def _drop_if_damaged(repo: Repo, oid: str) -> None:
    path = Path(repo.cache.local.oid_to_path(oid))
    if path.exists() and _md5(path) != oid.split(".")[0]:
        path.unlink()


def key(stage: Stage) -> str:
    """Names all that decides the stage's outputs: its command and the content of its dependencies."""
    stage.save_deps()
    return str(_get_stage_hash(stage))


def recall(repo: Repo, stage: Stage, name: str) -> bool:
    """Whether the outputs for this key were made before, here or anywhere that shares the remote.

    Then their objects are in the cache afterwards, undamaged, and DVC restores them.
    """
    folder = Path(repo.stage_cache.cache_dir) / name[:2] / name
    remote = None if folder.exists() else _remote(repo)
    if remote is not None:
        url = _runs(remote, name)
        for path in remote.fs.find(url) if remote.fs.exists(url) else []:
            folder.mkdir(parents=True, exist_ok=True)
            remote.fs.get_file(path, str(folder / Path(path).name))
    stage.save_deps()
    made = repo.stage_cache._load(stage)
    if not made:
        return False
    outs = repo.stage_cache._create_stage(made, wdir=stage.wdir).outs
    try:
        mend(repo, outs)
        if any(not _is_there(repo, out) for out in outs):
            return False
        return _fetch(repo, outs)
    except CollectCacheError:
        return False


def owe(repo: Repo, stage: Stage) -> None:
    """Note that the remote is still to get the outputs that dvc.lock names, until `push` has done so."""
    if _remote(repo) is not None:
        note = _note(repo, stage)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()


def is_owed(repo: Repo, stage: Stage) -> bool:
    return _note(repo, stage).exists()


def _note(repo: Repo, stage: Stage) -> Path:
    """Beside the objects, which any workspace may have made."""
    values = " ".join(sorted(str(out.hash_info.value) for out in stage.outs))
    return Path(repo.cache.legacy.path) / "owed" / md5(values.encode()).hexdigest()


def push(repo: Repo, stage: Stage, name: str) -> None:
    """To the remote, if there is one, what is not there yet; name: the key, to be recalled by."""
    remote = _remote(repo)
    if remote is None:
        return
    failed = repo.cloud.push(_infos(stage.outs), odb=remote.odb).failed
    if failed:
        raise TransientError(
            f"{stage.addressing}: {len(failed)} objects did not reach DVC's remote"
        )
    folder = Path(repo.stage_cache.cache_dir) / name[:2] / name
    if folder.exists():
        url = _runs(remote, name)
        for path in folder.iterdir():
            there = remote.fs.join(url, path.name)
            if not remote.fs.exists(there):
                remote.fs.put_file(str(path), there)
    _note(repo, stage).unlink(missing_ok=True)


def meet(repo: Repo) -> None:
    """Ask the remote something, so that who asks next need not first get to know it."""
    remote = _remote(repo)
    if remote is not None:
        remote.fs.exists(remote.path)


def _fetch(repo: Repo, outs: Iterable[Any]) -> bool:
    """Whether every object of `outs` is in the cache now."""
    absent = {info for info in _infos(outs) if not repo.cache.local.exists(info.value)}
    remote = _remote(repo)
    return not absent or not repo.cloud.pull(absent, odb=remote and remote.odb).failed


def _infos(outs: Iterable[Any]) -> set[Any]:
    return {info for out in outs for infos in out.get_used_objs().values() for info in infos}


def _objects(outs: Iterable[Any]) -> list[str]:
    return sorted({str(info.value) for info in _infos(outs)})


@lru_cache(maxsize=2)
def _remote(repo: Repo) -> Any:
    """None when none is configured. DVC would get to know the store anew each time."""
    return repo.cloud.get_remote() if repo.config["core"].get("remote") else None


def _runs(remote: Any, name: str) -> str:
    """Where DVC keeps the run cache's entry `name`."""
    return str(remote.fs.join(remote.path, "runs", name[:2], name))


def _overlap(one: str, other: str) -> bool:
    a, b = Path(one), Path(other)
    return a.is_relative_to(b) or b.is_relative_to(a)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "md5").hexdigest()
