"""`drdd tasks ...`"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from drdd.cli.presets import PresetOption
from drdd.errors import UserError
from drdd.shown import console, printable

if TYPE_CHECKING:  # the command line starts without torch and pydantic
    from drdd.gates.gate import TaskGate
    from drdd.pictures.pixels import Pixels

app = typer.Typer(no_args_is_help=True)
out = console()

PHOTOGRAPH = "sklearn/datasets/images/china.jpg"
COLUMNS = 5


@app.command()
def show(
    picture: Annotated[
        Path | None, typer.Argument(help="A picture file; default: a bundled photograph.")
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The sheet: .jpg, .png or .webp.")
    ] = Path("degradations.jpg"),
    seed: Annotated[int, typer.Option(help="Seed of the degradations.")] = 0,
) -> None:
    """Draw every degradation, with its default settings, on one photograph."""
    import numpy as np

    from drdd.degradations.catalogue import SCHEMAS
    from drdd.degradations.chain import degrade
    from drdd.drawing.contact import contact_sheet
    from drdd.pictures.files import check_format, write_picture
    from drdd.sources.overwriting import refuse_overwriting
    from drdd.sources.packages import package_file

    check_format(output)
    photograph = picture or package_file(PHOTOGRAPH)
    refuse_overwriting([output], [photograph])
    clean = _tile(photograph)
    tiles = [(clean, "clean")]
    for kind, schema in SCHEMAS.items():
        chain = [schema.model_validate({"kind": kind}).model_dump()]
        tiles.append((degrade(clean, chain, seed, "show", kind), kind.replace("_", " ")))
    write_picture(output, np.asarray(contact_sheet(tiles, COLUMNS)))
    out.print(f"{output}  {len(SCHEMAS)} degradations", soft_wrap=True)


@app.command("list")
def list_tasks() -> None:
    """List the tasks of params.yaml: where their pairs come from, and their gates."""
    from drdd.gates.catalogue import TASK_GATES
    from drdd.params import FILE, load

    table = Table(box=None, title=FILE, title_justify="left")
    for heading in ("task", "corpora or pairs", "degraded by"):
        table.add_column(heading, overflow="fold")
    gates = [
        f"{gate.label} {'≥' if gate.bound == 'at least' else '≤'}" for gate in TASK_GATES.values()
    ]
    for heading in ("variants", "pairs", *gates):
        table.add_column(heading, justify="right")
    table.add_column("reference", overflow="fold")
    for name, task in load().tasks.items():
        smaller = [f"{task.scale} times smaller"] if task.scale > 1 else []
        steps = ", ".join([*smaller, *(step.kind for step in task.degradation)])
        table.add_row(
            name,
            ", ".join(task.corpora or task.paired),
            f"{steps}, in random order" if task.order == "random" else steps,
            str(task.inputs()) if not task.paired else "",
            f"{task.pairs:.0%}",
            *(_bound(gate, gate.needed(task)) for gate in TASK_GATES.values()),
            task.reference_name() or "",
        )
    out.print(table)


def _bound(gate: "TaskGate", needed: float | None) -> str:
    sign = "+" if gate.bound == "at least" else ""
    return "" if needed is None else f"{needed:{sign}g} {gate.unit}".rstrip()


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name of the new task, such as old_photographs.")],
    corpora: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Clean corpora; default: all.")
    ] = None,
    degrade: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND[:NAME=LOW..HIGH,...]", help="A degradation; repeatable, applied in order."
        ),
    ] = None,
    paired: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Paired corpora, instead of --corpora and --degrade."),
    ] = None,
    pairs: Annotated[
        float | None, typer.Option(help="Fraction of the possible training pairs to use.")
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option(help="Enlarge so many times: pictures are made smaller, then degraded."),
    ] = None,
    variants: Annotated[
        int | None, typer.Option(help="Degraded versions of each training image.")
    ] = None,
    min_psnr_gain: Annotated[
        float | None, typer.Option(help="Gate: the gain over the input in PSNR, dB.")
    ] = None,
    order: Annotated[
        str | None, typer.Option(metavar="given|random", help="Order of the degradations.")
    ] = None,
) -> None:
    """Add a task to params.yaml; asks for degradations or pairs if no option gives them."""
    from drdd.params import FILE
    from drdd.params.edit import add_task, parse_degradation

    chosen: dict[str, Any] = {
        "corpora": _names(corpora),
        "degradation": [parse_degradation(step) for step in degrade or []] or None,
        "scale": scale,
        "paired": _names(paired),
        "pairs": pairs,
        "variants": variants,
        "min_psnr_gain": min_psnr_gain,
        "order": order,
    }
    if not degrade and not paired and scale in (None, 1):
        chosen |= _asked(chosen)
    if not chosen["paired"] and not chosen["corpora"]:
        chosen["corpora"] = _known_corpora()
    entry = {key: value for key, value in chosen.items() if value is not None}
    written = add_task(name, entry)
    out.print(f"{FILE}, tasks:\n{written}", soft_wrap=True)
    out.print("\ndrdd run, or dvc repro, trains it; the noise stage is not retrained")


@app.command()
def preview(
    name: Annotated[str, typer.Argument(help="Name of a task in params.yaml.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The sheet: .jpg, .png or .webp.")
    ] = Path("preview.jpg"),
    count: Annotated[int, typer.Option("-n", min=1, help="Pictures, or pairs, to show.")] = 4,
    preset: PresetOption = None,
) -> None:
    """Draw pairs of a task as training will see them; runs no stage."""
    from drdd.cli.preview import drawn, examples
    from drdd.params import FILE, load
    from drdd.pictures.files import check_format, write_picture
    from drdd.sources.overwriting import refuse_overwriting
    from drdd.stages.corpora import some

    check_format(output)
    found = examples(load(FILE, presets=preset or []), name, count)
    refuse_overwriting([output], found.read)
    write_picture(output, drawn(found.examples))
    inputs = len(found.examples[0].inputs)
    variants = f", {inputs} variants of each" if inputs > 1 else ""
    out.print(f"{output}  {len(found.examples)} of {name}{variants}", soft_wrap=True)
    if found.rejected:
        said = some(found.rejected)
        out.print(printable(f"set aside on the way: {said}"), style="yellow", soft_wrap=True)


def _asked(chosen: dict[str, Any]) -> dict[str, Any]:
    """What a person at the terminal answers; Enter takes what is in brackets."""
    from drdd.degradations.catalogue import SCHEMAS
    from drdd.params import load
    from drdd.params.edit import parse_degradation

    if not _at_a_terminal():
        raise UserError(
            "say what makes the pairs: --degrade KIND or --scale 2 (with --corpora A,B), or --paired NAME; "
            f"kinds: {', '.join(SCHEMAS)}"
        )
    params = load()
    share = {"pairs": chosen["pairs"] or typer.prompt("Fraction of the pairs", 1.0, type=float)}
    if params.paired and not chosen["corpora"]:
        said = typer.prompt(f"Paired corpora ({', '.join(params.paired)}), or none", "none")
        if said != "none":
            return {"paired": _names(said), **share}
    corpora = chosen["corpora"] or _names(typer.prompt("Corpora", ",".join(params.corpora)))
    out.print(f"Kinds: {', '.join(SCHEMAS)}; a range as haze:density=1.5..2.0")
    steps = typer.prompt("Degradations, in order, with spaces between them").split()
    degradation = [parse_degradation(step) for step in steps]
    return {"corpora": corpora, "degradation": degradation, **share}


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()


def _names(listed: str | None) -> list[str] | None:
    return None if listed is None else [part.strip() for part in listed.split(",")]


def _known_corpora() -> list[str]:
    from drdd.params import load

    return list(load().corpora)


def _tile(path: Path) -> "Pixels":
    """The middle of a picture, scaled to a tile of the sheet."""
    import numpy as np
    from PIL import Image, ImageOps

    from drdd.drawing.contact import TILE
    from drdd.intake.decoding import read_picture

    fitted = ImageOps.fit(Image.fromarray(read_picture(path)), TILE, Image.Resampling.LANCZOS)
    return np.asarray(fitted)
