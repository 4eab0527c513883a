"""`drdd models ...`"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from drdd.errors import UserError

app = typer.Typer(no_args_is_help=True)
out = Console(highlight=False)

RegistryOption = Annotated[
    str | None,
    typer.Option("--registry", help="s3://bucket/prefix or a folder; params.yaml's by default."),
]


@app.command("list")
def list_models(
    registry: RegistryOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """The published versions, newest first."""
    from drdd.registry.location import default_registry, open_registry

    opened = open_registry(registry or default_registry())
    versions, aliases = opened.versions(), opened.aliases()
    names = {
        version.id: sorted(alias for alias, id_ in aliases.items() if id_ == version.id)
        for version in versions
    }
    if as_json:
        listed = [asdict(version) | {"aliases": names[version.id]} for version in versions]
        out.print_json(json.dumps(listed))
        return
    table = Table(box=None, title=opened.uri, title_justify="left")
    for heading in ("version", "alias", "created (UTC)", "PSNR gain", "gate", "size"):
        table.add_column(heading)
    for version in versions:
        metrics = version.about.get("metrics", {})
        gain = metrics.get("mean", {}).get("gain", {}).get("psnr_rgb")
        passed = version.about.get("gate", metrics).get("passed")
        table.add_row(
            version.id,
            ", ".join(names[version.id]),
            version.created[:19].replace("T", " "),
            "" if gain is None else f"{gain:+.2f} dB",
            {True: "[green]passed[/]", False: "[red]missed[/]"}.get(passed, ""),
            f"{version.size / 1e6:.1f} MB",
        )
    out.print(table)


@app.command()
def pull(
    ref: Annotated[str, typer.Argument(help="An alias, or a version's id.")] = "champion",
    destination: Annotated[
        Path | None, typer.Argument(help="A folder to be made; ./<id> by default.")
    ] = None,
    registry: RegistryOption = None,
) -> None:
    """Download a version and verify every hash."""
    from drdd.registry.location import default_registry, open_registry

    opened = open_registry(registry or default_registry())
    version = opened.resolve(ref)
    folder = destination or Path(version.id)
    opened.pull(version.id, folder)
    count, size = len(version.files), version.size / 1e6
    said = f"{folder}: version {version.id}, {count} files, {size:.1f} MB, every hash verified"
    out.print(said, soft_wrap=True)


@app.command()
def verify(
    ref: Annotated[str, typer.Argument(help="An alias, or a version's id.")] = "champion",
    registry: RegistryOption = None,
) -> None:
    """Read every byte of a published version back and compare the hashes."""
    from drdd.registry.location import default_registry, open_registry

    opened = open_registry(registry or default_registry())
    if problems := opened.verify(ref):
        raise UserError(f"{opened.uri}, {ref}: {'; '.join(problems)}")
    out.print(f"{opened.resolve(ref).uri}: every hash verified", soft_wrap=True)


@app.command("import")
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
    save_model(folder, official.weights, official.configs, official.sampling, [])
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
