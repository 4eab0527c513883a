"""`drdd run`, `drdd sweep` and `drdd notify`: runs of the deployment drdd/full-pipeline.

Entry points of pyproject.toml (drdd.commands) make them commands of `drdd`.
"""

import os
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from drdd.cli.presets import PresetOption
from drdd.errors import UserError
from infra.local.settings import environment

SWEEPS = Path(".drdd/sweeps")
out = Console(highlight=False)


def run(
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A param for this run alone; repeatable."),
    ] = None,
    preset: PresetOption = None,
    rev: Annotated[str, typer.Option(help="A commit, tag or branch; the files as they are.")] = "",
    target: Annotated[str, typer.Option(help="Up to this stage of dvc.yaml.")] = "",
    keep: Annotated[
        list[str] | None, typer.Option(help="A stage that is left as it is; repeatable.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Make everything anew.")] = False,
    publish: Annotated[bool, typer.Option(help="Publish a version.")] = True,
    promote: Annotated[bool, typer.Option(help="Move the alias if all gates are passed.")] = True,
) -> None:
    """Run drdd/full-pipeline and watch it to the end."""
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
        out.print("\nno longer watching; the run itself goes on")
        raise
    with get_client(sync_client=True) as client:
        if rows := metrics(client, finished.id):
            out.print(table(rows))
        for line in places(client, finished.id):
            out.print(f" {line}", soft_wrap=True, markup=False)
    state = finished.state
    said = state.message if state else ""
    if state is None or not state.is_completed():
        raise UserError(f"run {finished.name} ended as {finished.state_name}: {said}")
    out.print(f"\n {said} ({time.monotonic() - began:.0f} s)", soft_wrap=True)


def sweep(
    axes: Annotated[list[str], typer.Argument(metavar="KEY=VALUE,VALUE,...")],
    preset: PresetOption = None,
) -> None:
    """Run all combinations of some params, such as tasks.rain.pairs=0.05,0.25 method=drdd,coupled.

    What several runs have in common is made once. Ends in a table and a page; `dvc exp show` has
    the runs as well.
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
        str, typer.Argument(help="Where to POST a JSON when a run ends; - for nowhere.")
    ],
) -> None:
    """Tell a webhook how runs end. The URL is kept by the Prefect server, as a secret."""
    _find_server()
    from prefect.client.orchestration import get_client

    from flows.automations import notify as tell
    from flows.automations import silence

    with get_client(sync_client=True) as client:
        if url == "-":
            silence(client)
        else:
            tell(client, url)
    out.print("nobody is told any more" if url == "-" else "the webhook is told how runs end")


def _find_server() -> None:
    """The server that PREFECT_API_URL names, else the local stack's."""
    if "PREFECT_API_URL" not in os.environ:
        os.environ.update(environment(Path.cwd()))


def _page(run: object) -> str:
    return f"{os.environ['PREFECT_API_URL'].removesuffix('/api')}/runs/flow-run/{run}"
