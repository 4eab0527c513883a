"""`drdd run`, `drdd sweep` and `drdd notify`: runs of the deployment drdd/full-pipeline.

Entry points of pyproject.toml (drdd.commands) make them commands of `drdd`.
"""

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from drdd.cli.presets import PresetOption
from drdd.errors import UserError
from drdd.shown import console
from infra.local.settings import environment

SWEEPS = Path(".drdd/sweeps")
out = console()


def run(
    override: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a param for this run only; repeatable."
        ),
    ] = None,
    preset: PresetOption = None,
    rev: Annotated[
        str, typer.Option(help="A commit, tag or branch; default: the folder as it is.")
    ] = "",
    target: Annotated[
        str, typer.Option(help="Run only this stage of dvc.yaml and what it depends on.")
    ] = "",
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Use this stage's outputs as dvc.lock has them; repeatable."),
    ] = None,
    force: Annotated[bool, typer.Option(help="Run every stage again.")] = False,
    publish: Annotated[bool, typer.Option(help="Publish a version.")] = True,
    promote: Annotated[bool, typer.Option(help="Move the alias if every gate is passed.")] = True,
) -> None:
    """Run the pipeline as the flow drdd/full-pipeline, and show it to its end."""
    _find_server()
    from prefect.client.orchestration import get_client

    from flows.summary import metrics, places, table
    from flows.watch import start, watch

    began = time.monotonic()
    started = start(
        {
            "rev": rev,
            "overrides": override or [],
            "presets": preset or [],
            "target": target,
            "keep": keep or [],
            "force": force,
            "publish": publish,
            "promote": promote,
        }
    )
    out.print(f"run {started.name}: {_page(started.id)}", soft_wrap=True)
    try:
        finished = watch(started, out)
    except KeyboardInterrupt:
        out.print("\nno longer watching; the run continues")
        raise
    with get_client(sync_client=True) as client:
        if rows := metrics(client, finished.id):
            out.print(table(rows))
        for line in places(client, finished.id):
            out.print(f" {line}", soft_wrap=True)
    state = finished.state
    said = state.message if state else ""
    if state is None or not state.is_completed():
        raise UserError(f"run {finished.name} ended as {finished.state_name}: {said}")
    out.print(f"\n {said} ({time.monotonic() - began:.0f} s)", soft_wrap=True)


def sweep(
    axes: Annotated[list[str], typer.Argument(metavar="KEY=VALUE,VALUE,...")],
    preset: PresetOption = None,
) -> None:
    """Run each combination of values, such as tasks.rain.pairs=0.05,0.25 seed=0,1.

    Stages that several runs share run once. Prints a table and writes a page; `dvc exp show` lists
    the runs too.
    """
    _find_server()
    from prefect.client.orchestration import get_client

    from flows.comparison import compared, table, write
    from flows.sweep import axes as parsed
    from flows.sweep import combinations
    from flows.watch import start, watch_all

    given = parsed(axes)
    chosen = combinations(given)
    began = time.strftime("%Y%m%d-%H%M%S")
    runs = []
    for values in chosen:
        overrides = [f"{key}={value}" for key, value in values.items()]
        parameters = {"overrides": overrides, "presets": preset or []}
        runs.append(start(parameters, tags=(f"sweep-{began}",)))
    said = [" ".join(values.values()) for values in chosen]
    finished = watch_all(runs, said, out)
    with get_client(sync_client=True) as client:
        frame = compared(client, finished, chosen)
    out.print(table(frame))
    page = write(SWEEPS / began, frame, [axis.key for axis in given])
    out.print(
        f" page: {page.resolve()}\n table: {page.resolve().with_name('runs.csv')}", soft_wrap=True
    )
    failed = [run.name for run in finished if not (run.state and run.state.is_completed())]
    if failed:
        raise UserError(f"{len(failed)} of {len(runs)} runs did not end well: {', '.join(failed)}")


def notify(
    url: Annotated[
        str, typer.Argument(help="Gets a POST of JSON when a run ends; - removes the webhook.")
    ],
) -> None:
    """Set or remove the notification webhook. The Prefect server keeps the URL as a secret."""
    _find_server()
    from prefect.client.orchestration import get_client

    from flows.automations import notify as tell
    from flows.automations import silence

    with get_client(sync_client=True) as client:
        if url == "-":
            silence(client)
        else:
            tell(client, url)
    out.print("the webhook is removed" if url == "-" else "the webhook is set")


def _find_server() -> None:
    """The server that PREFECT_API_URL names, else the local stack's."""
    if "PREFECT_API_URL" not in os.environ:
        os.environ.update(environment(Path.cwd()))


def _page(run: object) -> str:
    return f"{os.environ['PREFECT_API_URL'].removesuffix('/api')}/runs/flow-run/{run}"
