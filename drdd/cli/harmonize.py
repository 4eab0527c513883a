"""`drdd harmonize`."""

from math import isnan
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from drdd.errors import UserError
from drdd.shown import console

if TYPE_CHECKING:  # the command line starts without pandas
    import pandas as pd

out = console()


def harmonize(
    count: Annotated[int, typer.Option(help="Crops from each corpus and task.")] = 256,
    crop: Annotated[int, typer.Option(help="Side of a crop, in pixels.")] = 64,
    levels: Annotated[
        str | None,
        typer.Option(metavar="S,S,...", help="Noise levels to measure, such as 0.1,0.2,0.5."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of crops and noise; default: params.yaml's.")
    ] = None,
) -> None:
    """Measure how noise brings domains, and inputs and targets, closer together; suggest a level."""
    from drdd.harmonize import prepared as stage
    from drdd.params import load
    from drdd.progress import reporting

    params = load()
    chosen = stage.LEVELS if levels is None else _parsed(levels)
    with reporting("harmonize") as reporter:
        measured = stage.harmonize(
            params,
            count,
            crop,
            chosen,
            seed,
            progress=lambda done, total: reporter.update(done, total, "images"),
        )
    out.print(shown(measured.table))
    out.print(f"\n{measured.suggestion.why}", soft_wrap=True)
    out.print(
        f"More noise also hides more of a picture; diffusion.noise_level is "
        f"{params.diffusion.noise_level:g} now.",
        soft_wrap=True,
    )
    out.print(f"\n{stage.TABLE}  {stage.PLOT}", soft_wrap=True)


def shown(table: "pd.DataFrame") -> Table:
    """Energy distance in the feature space: at level 0 the share, beyond it the % that is left."""
    rows = table[(table["space"] == "features") & (table["distance"] == "energy")]
    levels = sorted(rows["level"].unique())
    drawn = Table(
        box=None, title="energy distance in the feature space, by noise level", title_justify="left"
    )
    drawn.add_column("")
    drawn.add_column("without", justify="right")
    for level in levels[1:]:
        drawn.add_column(f"{level:g}", justify="right")
    for name, curve in rows.groupby("name", sort=False):
        curve = curve.sort_values("level")
        left = [_percent(relative) for relative in curve["relative"].iloc[1:]]
        drawn.add_row(str(name), f"{curve['value'].iloc[0]:.3f}", *left)
    return drawn


def register(app: typer.Typer) -> None:
    app.command("harmonize")(harmonize)


def _percent(relative: float) -> Text:
    if isnan(relative):
        return Text("-")
    return Text(f"{relative:.0%}", "green" if relative <= 0.5 else "")


def _parsed(levels: str) -> list[float]:
    try:
        return [float(level) for level in levels.split(",")]
    except ValueError:
        raise UserError(f"--levels {levels!r}: give numbers with commas between them") from None
