"""`drdd models ...`"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drdd.errors import UserError
from drdd.registry.import_command import import_model
from drdd.shown import console, printable, short

if TYPE_CHECKING:  # the command line starts without storage
    from drdd.registry.aliases import Alias
    from drdd.registry.registry import Registry

app = typer.Typer(no_args_is_help=True)
out = console()  # strings of publishers are no markup
warn = console(stderr=True)
app.command("import")(import_model)

RegistryOption = Annotated[
    str | None,
    typer.Option("--registry", help="s3://bucket/prefix or a folder; params.yaml's by default."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]
WhyOption = Annotated[str, typer.Option(help="Kept in the history of the alias.")]
Ref = Annotated[str, typer.Argument(help="An alias, or the first digits of a version's id.")]


@app.command("list")
def list_models(registry: RegistryOption = None, as_json: JsonOption = False) -> None:
    """The published versions, newest first."""
    from drdd.registry.tables import version_list

    opened = _opened(registry)
    versions, damaged = opened.survey()
    aliases, problems = opened.aliases.readable()
    names = {
        version.id: sorted(name for name, alias in aliases.items() if alias.version == version.id)
        for version in versions
    }
    if as_json:
        found = [asdict(version) | {"aliases": names[version.id]} for version in versions]
        _print_json([*found, *({"id": one.name, "damaged": one.why} for one in damaged)])
    elif versions or damaged:
        out.print(version_list(opened.uri, versions, names, damaged))
    else:
        said = f"{opened.uri}: no version is published there; --registry names another place"
        out.print(printable(said), soft_wrap=True)
    for said in problems.values():
        warn.print(printable(said), soft_wrap=True)


@app.command()
def show(
    ref: Ref = "champion", registry: RegistryOption = None, as_json: JsonOption = False
) -> None:
    """All of one version: its metrics, gates, data, libraries, files, aliases and their history."""
    from drdd.registry.signing import signer
    from drdd.registry.tables import version_page

    opened = _opened(registry)
    version = opened.resolve(ref)
    aliases = _aliases_of(opened, version.id)
    if as_json:
        _print_json(
            asdict(version) | {"aliases": [asdict(a) for a in aliases], "signed": signer(version)}
        )
        return
    out.print(version_page(version, aliases))
    if "README.md" in version.files:
        out.print(printable(f"its card: {version.uri}/README.md"), soft_wrap=True)


@app.command()
def diff(old: Ref, new: Ref, registry: RegistryOption = None, as_json: JsonOption = False) -> None:
    """What differs between two versions: settings, metrics, data, libraries, files, code."""
    from drdd.registry.differences import differences
    from drdd.registry.tables import difference_tables

    opened = _opened(registry)
    found = differences(opened.resolve(old), opened.resolve(new))
    if as_json:
        _print_json({section: [asdict(c) for c in changes] for section, changes in found.items()})
    else:
        out.print(difference_tables(found))


@app.command()
def promote(
    ref: Ref,
    alias: Annotated[str, typer.Option(help="The alias to move.")] = "champion",
    why: WhyOption = "",
    registry: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Point an alias to a version, whatever its gates said."""
    opened = _opened(registry)
    version = opened.resolve(ref)
    moved = opened.aliases.move(alias, version.id, why)
    _print_moved(moved, as_json)


@app.command()
def rollback(
    alias: Annotated[str, typer.Argument(help="The alias.")] = "champion",
    why: WhyOption = "",
    registry: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Point an alias to the version before the present one; again, and it goes further back."""
    _print_moved(_opened(registry).aliases.rollback(alias, why), as_json)


@app.command()
def pull(
    ref: Ref = "champion",
    destination: Annotated[
        Path | None, typer.Argument(help="A folder to be made; ./<id> by default.")
    ] = None,
    registry: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download a version and verify every hash."""
    opened = _opened(registry)
    version = opened.resolve(ref)
    folder = destination or Path(version.id)
    opened.pull(version.id, folder)
    if as_json:
        _print_json({"version": version.id, "folder": str(folder)})
        return
    count, size = len(version.files), version.size / 1e6
    said = (
        f"{folder}: version {short(version.id)}, {count} files, {size:.1f} MB, every hash verified"
    )
    out.print(said, soft_wrap=True)


@app.command()
def verify(
    ref: Ref = "champion", registry: RegistryOption = None, as_json: JsonOption = False
) -> None:
    """Read every byte of a published version back, compare the hashes, and check the signature."""
    from drdd.registry.signing import signer

    opened = _opened(registry)
    version = opened.resolve(ref)
    if problems := opened.verify(version.id):
        raise UserError(f"{opened.uri}, {ref}: {'; '.join(problems)}")
    if as_json:
        _print_json({"version": version.id, "verified": True, "signed": signer(version)})
    else:
        out.print(f"{version.uri}: every hash verified, {signer(version)}", soft_wrap=True)


@app.command()
def gc(
    keep: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Also list versions that no alias has ever pointed to, except the newest KEEP.",
        ),
    ] = None,
    hours: Annotated[float, typer.Option(min=0, help="Leave everything younger alone.")] = 24.0,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; otherwise it is only shown.")] = False,
    registry: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """List, and with --yes remove, files of interrupted publications and, with --keep, old versions."""
    from drdd.registry.cleaning import leftovers, remove
    from drdd.registry.tables import leftover_table

    opened = _opened(registry)
    for one in opened.survey()[1]:
        warn.print(f"left alone: {printable(one.why)}", soft_wrap=True)
    found = leftovers(opened, hours, keep)
    gone = remove(opened, found, hours) if yes else []
    if as_json:
        _print_json({"found": [one.name for one in found], "deleted": [one.name for one in gone]})
        return
    if found:
        out.print(leftover_table(opened.uri, found))
    said = (
        f"{len(gone)} of {len(found)} deleted" if yes else f"{len(found)} found; --yes deletes them"
    )
    out.print(said if found else f"{opened.uri}: nothing is left over", soft_wrap=True)


def _opened(uri: str | None) -> "Registry":
    from drdd.registry.location import default_registry, open_registry

    return open_registry(uri or default_registry())


def _aliases_of(registry: "Registry", id_: str) -> "list[Alias]":
    """Those that point to the version or once did."""
    found, _ = registry.aliases.readable()
    return [one for _, one in sorted(found.items()) if any(m.version == id_ for m in one.history)]


def _print_moved(alias: "Alias", as_json: bool) -> None:
    if as_json:
        _print_json(asdict(alias))
        return
    before = alias.history[-2].version if len(alias.history) > 1 else "nothing"
    out.print(f"{alias.name}: {short(before)} → {short(alias.version)}")


def _print_json(content: Any) -> None:
    """In ASCII, so that no character of a publisher steers a terminal."""
    typer.echo(json.dumps(content, indent=2, default=str))
