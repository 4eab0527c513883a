"""The stage graph, read from dvc.yaml by DVC."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
from dvc.exceptions import DvcException
from dvc.repo import Repo, lock_repo
from dvc.stage import Stage as DvcStage

from drdd.errors import UserError
from drdd.files import flush, write_bytes
from drdd.params.errors import nearest
from flows.dvc_internals import open_repo

LOCK, COPY = Path("dvc.lock"), Path(".drdd/dvc.lock")


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml and the names of the stages whose outputs it reads."""

    name: str
    upstream: tuple[str, ...]


def stages(root: Path, target: str = "", without: Sequence[str] = ()) -> list[Stage]:
    """All stages of the workspace `root` in topological order.

    target: only this stage and its dependencies; without: stages to leave out. Raises UserError when
    dvc.yaml cannot be read or does not have the target.
    """
    with opened(root) as repo:
        try:
            graph = repo.index.graph
        except DvcException as error:
            raise UserError(f"dvc.yaml: {error}") from error
        names = {stage: stage.name for stage in graph}
        for name in filter(None, (target, *without)):
            if name not in names.values():
                near = nearest(name, list(names.values()))
                raise UserError(f"dvc.yaml has no stage {name!r}{near}")
        if target:
            (wanted,) = (stage for stage in graph if stage.name == target)
            graph = graph.subgraph({wanted, *nx.descendants(graph, wanted)})
        order = nx.lexicographical_topological_sort(graph.reverse(), key=names.__getitem__)
        return [
            Stage(names[stage], tuple(sorted(names[up] for up in graph.successors(stage))))
            for stage in order
            if names[stage] not in without
        ]


@contextmanager
def opened(root: Path) -> Iterator[Repo]:
    repo = open_repo(root)
    try:
        yield repo
    finally:
        repo.close()


@contextmanager
def locked(repo: Repo) -> Iterator[None]:
    """Hold DVC's lock of the workspace; concurrent stages wait for it.

    The repo reloads dvc.yaml and dvc.lock.
    """
    with lock_repo(repo):
        _repair_lock(Path(repo.root_dir))
        yield


def dump(stage: DvcStage, root: Path) -> None:
    """Write the stage's entry of dvc.lock. The caller holds DVC's lock.

    DVC writes the file in place and does not flush it, so a killed process or a power loss leaves it
    incomplete. Its copy then remains, and the next process that holds the lock restores it.
    """
    lock, copy = root / LOCK, root / COPY
    write_bytes(copy, lock.read_bytes() if lock.exists() else b"")
    stage.dump(update_pipeline=False)
    flush(lock)
    flush(lock.parent)
    copy.unlink()


def _repair_lock(root: Path) -> None:
    lock, copy = root / LOCK, root / COPY
    if copy.exists():
        if copy.stat().st_size:
            write_bytes(lock, copy.read_bytes())
        else:
            lock.unlink(missing_ok=True)
        copy.unlink()


def found(repo: Repo, stage: str) -> tuple[DvcStage, list[DvcStage]]:
    """DVC's stage object, and those of the stages whose outputs it reads."""
    (one,) = (one for one in repo.index.stages if getattr(one, "name", None) == stage)
    return one, list(repo.index.graph.successors(one))
