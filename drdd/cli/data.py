"""`drdd data ...`"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.table import Table
from rich.text import Text

from drdd.cli.presets import PresetOption
from drdd.errors import UserError
from drdd.files import exists
from drdd.shown import console, printable
from drdd.stages.paths import PHOTOGRAPHS
from drdd.stages.run import EXIT_USER

if TYPE_CHECKING:  # the command line starts without storage
    from drdd.params import Paired, Params
    from drdd.sources.entry import Rejected

app = typer.Typer(no_args_is_help=True)
out = console()
SHOWN = 3  # files that will be set aside
READ_BY_DVC = ("photographs", "synthetic")  # they have a default, but dvc.yaml loops over them


@app.callback()
def _group() -> None:
    """Corpora and pairs."""


@dataclass(frozen=True)
class Checked:
    """What was found of one corpus or paired corpus, without opening an image.

    key: in params, as corpora.NAME; found: "512 images" or "512 pairs"; first: the name of an image,
    or the key of a pair; aside: what will be set aside, as far as names tell; counted: a line for
    files that are no pictures; missing: what is wrong and where it is to be
    had, empty when the corpus is there.
    """

    key: str
    found: str = ""
    first: str = ""
    aside: "list[Rejected]" = field(default_factory=list)
    counted: "list[Rejected]" = field(default_factory=list)
    missing: str = ""


@app.command()
def check(preset: PresetOption = None) -> None:
    """Check that every corpus is there and every file has its partner; decodes no image."""
    from drdd.params import FILE, load

    params = load(FILE, presets=preset or [])
    _demand_stated(preset or [])
    results = checked(params)
    out.print(_table(results))
    if any(result.missing for result in results):
        raise typer.Exit(EXIT_USER)


def _demand_stated(presets: list[str]) -> None:
    """Raises UserError for sections that have a default, but that `dvc repro` demands."""
    from drdd.params import FILE, read

    content = read(FILE, presets=presets)
    if absent := [name for name in READ_BY_DVC if name not in content]:
        raise UserError(
            f"{FILE} has no {' and no '.join(absent)}, without which `dvc repro` does not begin",
            f"add `{absent[0]}: {{}}`",
        )


def checked(params: "Params") -> list[Checked]:
    """Every corpus, then every paired corpus, in the order of params.

    Raises TransientError when a store does not answer.
    """
    clean = [_images(params, name) for name in params.corpora]
    return clean + [_pairs(name, paired) for name, paired in params.paired.items()]


def _images(params: "Params", name: str) -> Checked:
    from drdd.sources.listing import entries, refusals
    from drdd.stages.corpora import some

    key, corpus = f"corpora.{name}", params.corpora[name]
    to_be_made = {PHOTOGRAPHS / folder: files for folder, files in params.photographs.items()}
    if bundled := to_be_made.get(Path(corpus.source)):
        return Checked(key, f"{len(bundled)} images", bundled[0])
    if drawn := params.synthetic_of(name):
        said = f"to be drawn: {drawn.kind}, {drawn.width} x {drawn.height}"
        return Checked(key, f"{drawn.count} images", said)
    if gone := _not_there(corpus.source):
        return Checked(key, missing=_missing(gone, corpus.obtain))
    try:
        found = entries(corpus.source, corpus.include, corpus.column)
    except UserError as error:
        return Checked(key, missing=_missing(str(error), corpus.obtain))
    refused = refusals(found.files, _looked_at(corpus.source))
    aside = [*refused.values(), *found.set_aside]
    usable = [one for one in found.files if one not in refused]
    if not usable:
        said = f"{key}: none of {len(found.files)} files is usable ({some(aside)})"
        return Checked(key, missing=_missing(said, corpus.obtain))
    return Checked(key, f"{len(usable)} images", usable[0].name, aside, found.counted)


def _looked_at(source: str) -> bool:
    """Whether its files are looked at one by one; objects below a prefix are there, as they were listed."""
    from drdd.sources.lists import is_list

    return is_list(source) or "://" not in source


def _pairs(name: str, paired: "Paired") -> Checked:
    from drdd.intake.pairing import both_sides, files_of, without
    from drdd.sources.listing import refusals
    from drdd.sources.matching import match
    from drdd.stages.corpora import some

    key = f"paired.{name}"
    if gone := _not_there(paired.input, paired.target):
        return Checked(key, missing=_missing(gone, paired.obtain))
    try:
        matching = match(paired, name)
    except UserError as error:
        return Checked(key, missing=_missing(str(error), paired.obtain))
    matched = both_sides(matching.pairs)
    look = _looked_at(paired.input) or _looked_at(paired.target)
    refused = refusals(files_of(matched), look)
    lost = without(matched, {one.name for one in refused})
    without_one = {pair.key for pair, _ in lost}
    aside = [*refused.values(), *(said for _, said in lost), *matching.alone]
    usable = [pair for pair in matched if pair.key not in without_one]
    if not usable:
        said = f"{key}: none of {len(matched)} pairs is usable ({some(aside)})"
        return Checked(key, missing=_missing(said, paired.obtain))
    return Checked(key, f"{len(usable)} pairs", usable[0].key, aside, matching.counted)


def _not_there(*sources: str) -> str:
    """A line for each local source that is not there, or that `dvc repro` cannot watch."""
    from drdd.sources.folders import unwatchable

    local = [source for source in dict.fromkeys(sources) if "://" not in source]
    absent = [f"{source} does not exist" for source in local if not exists(source)]
    return "\n".join([*absent, *filter(None, map(unwatchable, local))])


def _missing(wrong: str, obtain: str) -> str:
    return f"{wrong}\nobtain: {obtain}" if obtain else wrong


def _table(results: Iterable[Checked]) -> Table:
    table = Table(box=None)
    for heading in ("", "corpus", "found", "first, or what is wrong"):
        table.add_column(heading, overflow="fold")
    for result in results:
        said = Text(printable(result.missing, lines=True) or printable(result.first))
        if result.aside:
            said.append(f"\n{len(result.aside)} set aside", "yellow")
        for row in [*result.aside[:SHOWN], *result.counted]:
            said.append(f"\n{printable(f'{row.name}: {row.reason}')}", "yellow")
        mark = Text("✗", "red") if result.missing else Text("✓", "green")
        table.add_row(mark, result.key, result.found, said)
    return table
