"""DVC's cache and remote, as a run needs them: what is there, what is damaged, what goes where.

All of it concerns one stage at a time, so that a run moves only what it needs and what it made.
"""

from collections.abc import Iterable
from hashlib import file_digest
from pathlib import Path
from typing import Any

import networkx as nx
from dvc.exceptions import CollectCacheError
from dvc.repo import Repo
from dvc.stage import Stage
from dvc.stage.cache import _get_stage_hash  # DVC gives the run cache's key no other way

from drdd.errors import TransientError

HASH = "md5"
RUNS_HASH = "md5-dos2unix"  # what DVC keeps the run cache beside


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
    return set(remote.oids_exist(absent)) >= set(absent)


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
    repo.cloud.pull({info for info in _infos(outs) if not repo.cache.local.exists(info.value)})
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
    remote = None if folder.exists() else _remote(repo, RUNS_HASH)
    if remote is not None:
        url = remote.fs.join(remote.path, "runs", name[:2], name)
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
        return not repo.cloud.pull(_infos(outs)).failed
    except CollectCacheError:
        return False


def push(repo: Repo, stage: Stage, name: str) -> None:
    """To the remote, if there is one, what is not there yet; name: the key, to be recalled by."""
    if _remote(repo) is None:
        return
    failed = repo.cloud.push(_infos(stage.outs)).failed
    if failed:
        raise TransientError(
            f"{stage.addressing}: {len(failed)} objects did not reach DVC's remote"
        )
    runs = _remote(repo, RUNS_HASH)
    folder = Path(repo.stage_cache.cache_dir) / name[:2] / name
    if folder.exists():
        url = runs.fs.join(runs.path, "runs", folder.parent.name, folder.name)
        for path in folder.iterdir():
            there = runs.fs.join(url, path.name)
            if not runs.fs.exists(there):
                runs.fs.put_file(str(path), there)


def meet(repo: Repo) -> None:
    """Ask the remote something, so that who asks next need not first get to know it."""
    remote = _remote(repo)
    if remote is not None:
        remote.fs.exists(remote.path)


def _infos(outs: Iterable[Any]) -> set[Any]:
    return {info for out in outs for infos in out.get_used_objs().values() for info in infos}


def _objects(outs: Iterable[Any]) -> list[str]:
    return sorted({str(info.value) for info in _infos(outs)})


def _remote(repo: Repo, hash_name: str = HASH) -> Any:
    """None when none is configured."""
    if not repo.config["core"].get("remote"):
        return None
    return repo.cloud.get_remote_odb(hash_name=hash_name)


def _overlap(one: str, other: str) -> bool:
    a, b = Path(one), Path(other)
    return a.is_relative_to(b) or b.is_relative_to(a)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "md5").hexdigest()
