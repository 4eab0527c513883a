"""Start a run of the deployment and watch it: one line per stage, with progress and ETA."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterType,
    FlowRunFilter,
    FlowRunFilterId,
    TaskRunFilter,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import ArtifactSort, TaskRunSort
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from drdd.errors import TransientError, UserError
from flows.graph import stages

DEPLOYMENT = "full-pipeline"
POLL_S = 1.0
LIMIT = 200  # maximum artifacts or tasks of one run
LINE_EVERY_S = 20.0
PASSING = ("Scheduled", "Pending", "Submitting", "Late")
FAILED = Text("✗", "red")
MARKS = {
    "COMPLETED": Text("✓", "green"),
    "FAILED": FAILED,
    "CRASHED": FAILED,
    "RUNNING": Text("▸"),
}


@dataclass(frozen=True)
class StageRow:
    """The state of a task run. word: its progress line while it runs."""

    name: str
    state: str
    word: str
    seconds: float


def start(parameters: Mapping[str, Any], tags: Sequence[str] = ()) -> FlowRun:
    """Start a run of drdd/full-pipeline. Raises UserError when the deployment is not registered."""
    name = f"drdd/{DEPLOYMENT}"
    try:
        return run_deployment(  # type: ignore[return-value]
            name, parameters=dict(parameters), tags=tags, timeout=0, as_subflow=False
        )
    except ObjectNotFound:
        raise UserError(f"Prefect knows no deployment {name}; `drdd up` registers it") from None
    except httpx.TransportError as error:
        raise TransientError(
            f"the Prefect server does not answer ({error}); run `drdd up`"
        ) from None


def watch(run: FlowRun, console: Console) -> FlowRun:
    """Watch until the run has finished, and return it. Ctrl-C stops watching, not the run."""
    order = [stage.name for stage in stages(Path())] + ["serve"]
    with get_client(sync_client=True) as client:
        if console.is_terminal:
            with Live(console=console, refresh_per_second=4) as live:
                while True:
                    run, rows = _look(client, run.id, order)
                    live.update(_table(run, rows))
                    if run.state is not None and run.state.is_final():
                        return run
                    time.sleep(POLL_S)
        return _watch_lines(client, run.id, order, console)


def watch_all(runs: Sequence[FlowRun], said: Sequence[str], console: Console) -> list[FlowRun]:
    """Watch until all runs have finished; returns them in order. said: a description of each."""
    began, shown = time.monotonic(), dict.fromkeys((run.id for run in runs), "")
    with get_client(sync_client=True) as client:
        while True:
            now = [client.read_flow_run(run.id) for run in runs]
            over = sum(run.state is not None and run.state.is_final() for run in now)
            for run, word in zip(now, said, strict=True):
                name = run.state_name or ""
                if name != shown[run.id] and name not in PASSING:
                    shown[run.id] = name
                    eta = (time.monotonic() - began) / over * (len(runs) - over) if over else 0
                    left = f", ETA {eta / 60:.0f} min" if eta else ""
                    line = f"{run.name}  {word}  {name.lower()}  ({over}/{len(runs)}{left})"
                    console.print(line, soft_wrap=True, highlight=False)
            if over == len(runs):
                return now
            time.sleep(POLL_S)


def _watch_lines(
    client: SyncPrefectClient, run_id: UUID, order: Sequence[str], console: Console
) -> FlowRun:
    """Watch without a terminal: a line for each change of state, and for progress from time to time."""
    shown: dict[str, tuple[str, float]] = {}
    while True:
        run, rows = _look(client, run_id, order)
        for row in rows:
            state, when = shown.get(row.name, ("", 0.0))
            due = row.word and time.monotonic() - when > LINE_EVERY_S
            if row.state in ("Pending", "NotReady") or (state == row.state and not due):
                continue
            shown[row.name] = (row.state, time.monotonic())
            said = row.word or f"{row.name}  {row.state.lower()}"
            if row.state == "Completed":
                said = f"{row.name}  done in {row.seconds:.0f} s"
            console.print(said, soft_wrap=True, highlight=False)
        if run.state is not None and run.state.is_final():
            return run
        time.sleep(POLL_S)


def _look(
    client: SyncPrefectClient, run_id: UUID, order: Sequence[str]
) -> tuple[FlowRun, list[StageRow]]:
    run = client.read_flow_run(run_id)
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[run_id]))
    words = {
        artifact.task_run_id: artifact.description or ""
        for artifact in client.read_artifacts(
            artifact_filter=ArtifactFilter(type=ArtifactFilterType(any_=["progress"])),
            flow_run_filter=mine,
            task_run_filter=TaskRunFilter(),
            sort=ArtifactSort.CREATED_DESC,
            limit=LIMIT,
            offset=0,
        )
    }
    rows = [
        StageRow(
            task.name,
            task.state_name or "Pending",
            words.get(task.id, "") if task.state_name == "Running" else "",
            task.estimated_run_time.total_seconds(),
        )
        for task in client.read_task_runs(
            flow_run_filter=mine, sort=TaskRunSort.NAME_ASC, limit=LIMIT
        )
    ]
    # A task run gets the name of its stage when it starts; until then the stage is shown as pending.
    started = {row.name: row for row in rows}
    return run, [started.get(name, StageRow(name, "Pending", "", 0.0)) for name in order]


def _table(run: FlowRun, rows: Sequence[StageRow]) -> Table:
    table = Table(box=None, title=f"drdd/{DEPLOYMENT}  {run.name}  {run.state_name or ''}")
    for heading in ("", "stage", "state", "progress"):
        table.add_column(heading, justify="left")
    for row in rows:
        took = f"{row.seconds:.0f} s" if row.state == "Completed" else ""
        said = row.word.removeprefix(row.name).strip() or took
        table.add_row(MARKS.get(row.state.upper(), Text("·")), row.name, row.state.lower(), said)
    return table
