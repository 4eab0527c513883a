"""`drdd presets ...`, and the option --preset."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from drdd.errors import UserError
from drdd.params.file import FILE
from drdd.shown import console

app = typer.Typer(no_args_is_help=True)
out = console()

PresetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="A preset of `drdd presets list`; repeatable, applied in order.",
    ),
]


@app.command("list")
def list_presets() -> None:
    """List all presets, with a description of each."""
    from drdd.params.presets import describe, names

    table = Table(box=None)
    for heading in ("preset", "what it is"):
        table.add_column(heading)
    for name in names():
        table.add_row(name, describe(name))
    out.print(table)


@app.command()
def write(
    preset: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Presets, applied in order.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to be written.")] = Path(
        FILE
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write params.yaml with presets merged into it, so that `dvc repro` runs them."""
    from drdd.files import write_bytes
    from drdd.params import overridden

    text = overridden(FILE, [], preset)
    if output.exists() and not force:
        raise UserError(f"{output} exists; give --force to overwrite it, or -o with another name")
    write_bytes(output, f"# {FILE} with preset {', '.join(preset)}\n{text}".encode())
    out.print(f"{output}  {FILE} with preset {', '.join(preset)}", soft_wrap=True)
