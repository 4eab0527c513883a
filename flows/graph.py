"""The stage graph, read from dvc.yaml through DVC itself: nothing about it is repeated here."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
from dvc.exceptions import DvcException, ReproductionError
from dvc.lock import LockError
from dvc.repo import Repo

from drdd.errors import UserError

BUSY_POLL_S = 0.5
BUSY_PATIENCE_S = 900.0


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml and the names of those whose outputs it reads."""

    name: str
    upstream: tuple[str, ...]


class StageError(Exception):
    """DVC could not reproduce a stage."""


def stages(root: Path) -> list[Stage]:
    """Every stage of the workspace `root`, each after those it depends on.

    Raises UserError when dvc.yaml cannot be read.
    """
    with _repo(root) as repo:
        try:
            graph = repo.index.graph
        except DvcException as error:
            raise UserError(f"dvc.yaml: {error}") from error
        names = {stage: stage.name for stage in graph}
        order = nx.lexicographical_topological_sort(graph.reverse(), key=names.__getitem__)
        return [
            Stage(names[stage], tuple(sorted(names[up] for up in graph.successors(stage))))
            for stage in order
        ]


def reproduce(stage: str) -> bool:
    """`dvc repro --single-item STAGE`; False when nothing had changed. Raises StageError.

    In the current folder: DVC resolves paths against it, whatever repository it is given.

    Stages that run at the same time collide on DVC's lock now and then; that is waited for.
    """
    give_up = time.monotonic() + BUSY_PATIENCE_S
    while True:
        try:
            with _repo(Path()) as repo:
                return bool(repo.reproduce(stage, single_item=True))
        except (LockError, ReproductionError) as error:
            busy = isinstance(error, LockError) or isinstance(error.__cause__, LockError)
            if not busy or time.monotonic() > give_up:
                raise StageError(f"{stage}: {error.__cause__ or error}") from error
            time.sleep(BUSY_POLL_S)
        except DvcException as error:
            raise StageError(f"{stage}: {error}") from error


@contextmanager
def _repo(root: Path) -> Iterator[Repo]:
    repo = Repo(str(root))
    try:
        yield repo
    finally:
        repo.close()
