"""Whether a start command of a manifest could be run: its program is there and takes its options."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from cyclopts.exceptions import CycloptsError
from prefect.cli._app import _app as prefect
from ray.scripts.scripts import cli as ray

from tests.conftest import ROOT

OF_THE_IMAGE = set(
    re.search(
        r"apt-get install .*--no-install-recommends (.*?) &&",
        (ROOT / "infra/containers/Dockerfile").read_text(),
    )[1].split()  # type: ignore[index]
)
OF_OTHERS = {"pg_isready", "sh"}  # of PostgreSQL's image; of Debian


class NotRunnableError(Exception):
    """Why."""


def demand_runnable(command: list[str]) -> None:
    program, *arguments = command
    if program == "ray":
        _ray(arguments)
    elif program == "prefect":
        _prefect(arguments)
    elif program == "python" and arguments[0] == "-m":
        _module(arguments[1], arguments[2:])
    elif program not in OF_THE_IMAGE | OF_OTHERS:
        raise NotRunnableError(f"no {program} in the image")


def _ray(arguments: list[str]) -> None:
    name, *options = arguments
    found = ray.commands.get(name)
    if found is None:
        raise NotRunnableError(f"ray has no {name}")
    try:
        found.make_context(name, options)
    except click.ClickException as error:
        raise NotRunnableError(f"ray {name}: {error.format_message()}") from None


def _prefect(arguments: list[str]) -> None:
    try:
        prefect.parse_args(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise NotRunnableError(f"prefect {arguments}: {error}") from None


def _module(name: str, arguments: list[str]) -> None:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise NotRunnableError(f"no module {name}")
    if name == "infra.joined":
        demand_runnable(arguments)
        return
    source = Path(spec.origin).read_text()
    for option in (one.partition("=")[0] for one in arguments if one.startswith("--")):
        if f'"{option}"' not in source:
            raise NotRunnableError(f"{name} has no {option}")


def flags_of(command: Any) -> list[str]:
    """A command as a list, whatever a manifest has."""
    return command.split() if isinstance(command, str) else [str(part) for part in command]
