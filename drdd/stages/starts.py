"""What a training stage begins from: `start` in its params, resolved once a run and kept until its end.

`check` writes what a start is, with the hashes of its files, to data/starts, on which the stage depends. A
published model has no hashes there: each publication moves `champion`, so the stage would be out of date
after every run.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from drdd.base.shipped import base_folder, sha256_of
from drdd.checkpoints.pretrained import AccountRow
from drdd.checkpoints.starts import read_start
from drdd.errors import UserError
from drdd.files import exists, write_json
from drdd.params import BASE, PRETRAINED, SCRATCH, Params, is_path
from drdd.params.errors import nearest
from drdd.registry.location import cached, reachable
from drdd.registry.registry import Registry
from drdd.shown import short
from drdd.training.job import Job, initial_weights_of
from drdd.training.settings import method_of, networks_of, stage_settings

CHAMPION = "champion"
WORDS = {BASE: "the base that ships with drdd", SCRATCH: "random weights"}


@dataclass(frozen=True)
class Start:
    """origin: "base", "scratch", a version's id, or a path below pretrained/.

    path: a model folder or file, absolute, None for random weights; said: a message for the user.
    """

    origin: str
    path: Path | None
    said: str = ""


def declared(params: Params, stage: str) -> dict[str, Any]:
    """What `check` writes of a start: its name and, unless it is random or published, its files' hashes.

    Raises UserError when the stage cannot begin from it.
    """
    start = stage_settings(params, stage).start
    path = None if _is_published(start) else _local(start, stage)
    initial_weights_of(Job(stage, params, {}, init_from=path))
    return {"start": start, "files": digest(path) if path else None}


def find_start(job: Job, kept: Path) -> Start:
    """Resolve the start of a job's stage.

    kept: the file in which an unfinished run keeps a published version, since an alias may move before it
    resumes. While `champion`, or the alias to which this pipeline publishes, does not exist, the base is
    used if it fits, else random weights. Raises UserError for any other model that does not exist.
    """
    start, uri = stage_settings(job.params, job.stage).start, job.params.publish.registry
    if not _is_published(start):
        said = f"begins from {WORDS.get(start, start)}"
        return Start(start, _local(start, job.stage), "" if start == SCRATCH else said)
    with reachable(uri):
        if kept.exists():
            origin = json.loads(kept.read_text())["from"]
            said = f"goes on with {WORDS.get(origin, short(origin))}, from which this run began"
        else:
            origin, said = _resolved(start, job)
            write_json(kept, {"from": origin})
        if _is_published(origin):
            return Start(origin, cached(origin, uri).absolute(), said)
        return Start(origin, _local(origin, job.stage), said)


def _is_published(start: str) -> bool:
    return start not in (BASE, SCRATCH) and not is_path(start)


def _local(start: str, stage: str) -> Path | None:
    """Where the weights are, absolute; None for random ones."""
    if start == SCRATCH:
        return None
    if start == BASE:
        return _base(stage)
    if not exists(start):
        raise UserError(
            f"train.{stage}.start = {start!r}: does not exist",
            f"name a file or folder below {PRETRAINED}/, {BASE}, {SCRATCH} or a published model",
        )
    return Path(start).absolute()


def _base(stage: str) -> Path:
    try:
        return base_folder()
    except UserError as error:
        raise UserError(
            f"train.{stage}.start = {BASE!r}: {error.sentence}",
            f"{error.remedy}, or set train.{stage}.start: {SCRATCH}",
        ) from None


def _resolved(start: str, job: Job) -> tuple[str, str]:
    """The origin of a published start, and a message."""
    registry = Registry.open(job.params.publish.registry)
    aliases = {CHAMPION, job.params.publish.alias}
    if start in aliases and registry.aliases.get(start) is None:
        return _before_the_first(f"{registry.uri} has no {start} yet", job)
    try:
        version = registry.resolve(start).id
    except UserError as error:
        raise UserError(
            f"train.{job.stage}.start = {start!r}{nearest(start, [BASE, SCRATCH])}: {error}",
            f"name one of these, {BASE} or {SCRATCH}",
        ) from None
    return (
        version,
        f"begins from the {job.stage} network of {short(version)} ({start} in {registry.uri})",
    )


def _before_the_first(why: str, job: Job) -> tuple[str, str]:
    """The base if it fits, else random weights. Raises UserError if the base is missing or damaged."""
    base = _base(job.stage)
    try:
        read_start(base, job.stage, networks_of(job.params, job.stage), method_of(job.params))
    except UserError as error:
        return (
            SCRATCH,
            f"{why}: begins from random weights, as the base does not fit ({error.sentence})",
        )
    return BASE, f"{why}: begins from {WORDS[BASE]}"


def digest(path: Path) -> str | dict[str, Any]:
    """The SHA-256 of a file, or of each file of a folder."""
    if not path.is_dir():
        return sha256_of(path)
    files = sorted(f for f in path.rglob("*") if f.is_file() and f.suffix != ".pyc")
    return {str(file.relative_to(path)): digest(file) for file in files}


def account_table(start: Start, stage: str, account: Sequence[AccountRow]) -> Table:
    """A table of all values of another program's checkpoint: loaded, skipped and new."""
    title = f"the {stage} stage begins from {short(start.origin)}"
    table = Table(box=None, title=title, title_justify="left")
    for heading in ("what", "which", "tensors", "values"):
        table.add_column(heading, justify="left" if heading.startswith("wh") else "right")
    for row in account:
        table.add_row(row.what, row.which, str(row.tensors), f"{row.values:,}")
    return table
