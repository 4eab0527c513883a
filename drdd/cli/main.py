"""`drdd ...`: the local stack, runs, published models, and restoring pictures."""

import sys

import typer
from rich.console import Console

from drdd.cli import data, harmonize, presets, restore, runs, tasks
from drdd.errors import TransientError, UserError
from drdd.registry import cli as models
from drdd.stages.run import EXIT_INTERRUPTED, EXIT_TRANSIENT, EXIT_USER
from infra.doctor import cli as doctor
from infra.local import cli as stack

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
runs.register(app)
app.add_typer(data.app, name="data", help="Corpora and pairs: check.")
app.add_typer(presets.app, name="presets", help="Params of the paper's tasks: list, write.")
app.add_typer(tasks.app, name="tasks", help="Tasks and degradations: show, list, add, preview.")
app.add_typer(models.app, name="models", help="Published models: list, pull, verify.")

err = Console(stderr=True, highlight=False, soft_wrap=True)


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
