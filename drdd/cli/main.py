"""`drdd ...`: published models, restoring pictures, params; other packages bring more commands."""

import errno
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from drdd.cli import data, harmonize, presets, restore, tasks
from drdd.errors import TransientError, UserError
from drdd.extras import missing
from drdd.registry import cli as models
from drdd.shown import console, printable, shortened
from drdd.stages.run import EXIT_INTERRUPTED, EXIT_TRANSIENT, EXIT_USER

# Entry points: by a command's name, a function with Typer's annotations.
COMMANDS = "drdd.commands"
# What a path that somebody named may be: not there, of another kind, closed, too long.
OF_A_PATH = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EACCES, errno.EPERM),
    *(errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EILSEQ),
}


class _Commands(TyperGroup):
    """Commands of other packages are imported only when one of them, or the list of all, is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        self._add_others()
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands:
            self._add_others()
        return super().get_command(ctx, cmd_name)

    def _add_others(self) -> None:
        for entry in entry_points(group=COMMANDS):
            if entry.name not in self.commands:
                self.add_command(_command(entry), entry.name)


def _command(entry: EntryPoint) -> Any:
    """The entry point's command; one that says what to install where a package is missing."""
    one = typer.Typer(add_completion=False)
    try:
        one.command(entry.name)(entry.load())
    except ModuleNotFoundError as error:
        why = missing(error)

        def refuse() -> None:
            raise why

        anything = {"ignore_unknown_options": True, "allow_extra_args": True}
        one.command(entry.name, help=escape(str(why)), context_settings=anything)(refuse)
    return typer.main.get_command(one)


app = typer.Typer(
    cls=_Commands,
    help="Decoupled Residual Denoising Diffusion: train, evaluate, publish, serve, restore.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
restore.register(app)
harmonize.register(app)
app.add_typer(data.app, name="data", help="Corpora and pairs: check that they are there.")
app.add_typer(presets.app, name="presets", help="The paper's tasks as params: list, write.")
app.add_typer(tasks.app, name="tasks", help="Tasks and degradations: list, add, preview, show.")
app.add_typer(
    models.app, name="models", help="Published models: list, show, promote, rollback, pull, ..."
)

err = console(stderr=True, soft_wrap=True)


def main() -> None:
    """The console script: failures a person can act on are one sentence, without a traceback."""
    try:
        try:
            app()
        except ModuleNotFoundError as error:
            raise missing(error) from error
    except UserError as error:
        err.print("error: ", style="red", end="")
        err.print(printable(error, lines=True))
        sys.exit(EXIT_USER)
    except TransientError as error:
        err.print("error: ", style="red", end="")
        err.print(f"{printable(error, lines=True)} (trying again may help)")
        sys.exit(EXIT_TRANSIENT)
    except OSError as error:
        if error.errno not in OF_A_PATH or error.filename is None:
            raise
        err.print("error: ", style="red", end="")
        said = f"{shortened(str(error.filename))}: {error.strerror}; name another place"
        err.print(printable(said))
        sys.exit(EXIT_USER)
    except KeyboardInterrupt:
        err.print("interrupted")
        sys.exit(EXIT_INTERRUPTED)
