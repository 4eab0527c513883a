"""`drdd ...`: the local stack, runs, published models, and restoring pictures."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from drdd.cli import data, harmonize, presets, restore, tasks
from drdd.cli.presets import PresetOption
from drdd.errors import TransientError, UserError
from drdd.registry import cli as models
from drdd.stages.run import EXIT_INTERRUPTED, EXIT_TRANSIENT, EXIT_USER
from infra.doctor import cli as doctor
from infra.local import cli as stack
from infra.local.settings import environment

app = typer.Typer(
    help="Decoupled Residual Denoising Diffusion: train, evaluate, publish, serve, restore.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
stack.register(app)
doctor.register(app)
harmonize.register(app)
restore.register(app)
app.add_typer(data.app, name="data", help="Corpora and pairs: check.")
app.add_typer(presets.app, name="presets", help="Params of the paper's tasks: list, write.")
app.add_typer(tasks.app, name="tasks", help="Tasks and degradations: show, list, add, preview.")
app.add_typer(models.app, name="models", help="Published models: list, pull, verify.")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False, soft_wrap=True)


@app.command()
def run(
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A param for this run alone; repeatable."),
    ] = None,
    preset: PresetOption = None,
) -> None:
    """Run drdd/full-pipeline on the local stack and watch it to the end."""
    root = Path.cwd()
    os.environ.update(environment(root))
    from prefect.client.orchestration import get_client

    from flows.summary import metrics, places, table
    from flows.watch import start, watch

    began = time.monotonic()
    started = start({"overrides": override or [], "presets": preset or []})
    page = os.environ["PREFECT_API_URL"].removesuffix("/api")
    out.print(f"run {started.name}: {page}/runs/flow-run/{started.id}", soft_wrap=True)
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


def main() -> None:
    """The console script: failures a person can act on are one sentence, without a traceback."""
    try:
        app()
    except UserError as error:
        err.print("[red]error:[/] ", end="")
        err.print(str(error), markup=False)
        sys.exit(EXIT_USER)
    except TransientError as error:
        err.print("[red]error:[/] ", end="")
        err.print(f"{error} (trying again may help)", markup=False)
        sys.exit(EXIT_TRANSIENT)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
