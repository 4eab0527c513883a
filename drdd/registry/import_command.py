"""`drdd models import`: the authors' checkpoint as a model folder."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from drdd.errors import UserError
from drdd.shown import console

out = console()


def import_model(
    file: Annotated[Path, typer.Argument(help="An official checkpoint, such as DRDD_AiO5.pt.")],
    destination: Annotated[
        Path | None, typer.Argument(help="A folder to be made; ./<name of the file> by default.")
    ] = None,
    noise_level: Annotated[
        float, typer.Option(help="s, the root of the checkpoint's sum_scale.", min=0.01, max=1.0)
    ] = 1.0,
    head_channels: Annotated[
        int, typer.Option(help="Of an attention head of the noise net: weights do not tell.", min=1)
    ] = 64,
) -> None:
    """Turn the authors' checkpoint into a model folder. Only tensors are read: no code is run."""
    from drdd.checkpoints.folder import load_model, save_model
    from drdd.checkpoints.official import read_official

    folder = destination or Path(file.stem)
    if folder.exists():
        raise UserError(f"{folder} exists already; name another folder")
    official = read_official(file, noise_level, head_channels)
    save_model(folder, official.weights, official.configs, official.sampling, {})
    model = load_model(folder)
    table = Table(box=None, title=f"{file} → {folder}", title_justify="left")
    for heading in ("network", "family", "tensors", "parameters", "channels in → out"):
        table.add_column(heading)
    for part, config in official.configs.items():
        tensors = official.weights[part].values()
        table.add_row(
            part,
            type(config).__name__.removesuffix("Config"),
            str(len(tensors)),
            f"{sum(t.numel() for t in tensors) / 1e6:.1f} M",
            f"{config.in_channels} → {config.out_channels}",
        )
    out.print(table)
    said = f"noise level {noise_level:g}, conditioning {model.sampling.conditioning}; every tensor used"
    out.print(f"{said}\ndrdd restore photo.jpg -o out.png --model {folder}", soft_wrap=True)
