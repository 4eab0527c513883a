"""`drdd restore`: one picture, or all of a folder, a pattern or a bucket."""

import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from drdd.errors import UserError
from drdd.files import is_file
from drdd.shown import console, printable, short, shortened

if TYPE_CHECKING:
    from drdd.batch.ledger import Record
    from drdd.formats.carried import Keeping
    from drdd.inference.options import Options

out = console()
CHAMPION, BASE = "champion", "base"
LISTED = 5  # files that could not be restored, at the end


def register(app: typer.Typer) -> None:
    app.command()(restore)


def restore(
    inputs: Annotated[
        list[str],
        typer.Argument(help="Picture files, or a folder, a pattern in quotes, or an s3:// prefix."),
    ],
    output: Annotated[
        str,
        typer.Option(
            "-o", "--output", help="A file; for many pictures, a folder or an s3:// prefix."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="base, an alias, a version's id, a model folder, or REGISTRY@ALIAS; default: champion, "
            "or base while nothing is published."
        ),
    ] = None,
    registry: Annotated[
        str | None, typer.Option(help="s3://bucket/prefix or a folder; default: params.yaml's.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise.", min=0)] = 0,
    steps: Annotated[
        int | None,
        typer.Option(help="Sampling steps of each stage; default: the model's.", min=1, max=100),
    ] = None,
    noise_level: Annotated[
        float | None,
        typer.Option(
            help="Level of the fixed noise, above 0, at most 1; default: that of the model's training. "
            "Another leaves noise in the picture."
        ),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option(
            help="So many times higher and wider, for a model that has learned it; default: 1 if the model "
            "has a task of that size.",
            min=1,
            max=8,
        ),
    ] = None,
    samples: Annotated[
        int,
        typer.Option(
            help="Restore so often, with the seeds from --seed on, and write the mean.",
            min=1,
            max=64,
        ),
    ] = 1,
    uncertainty: Annotated[
        str | None,
        typer.Option(
            help="Also write how much the samples differ: a PNG; for many pictures, a folder or an s3:// "
            "prefix."
        ),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            help="A picture of the same size: white is filled, all else stays as it is. For many pictures "
            "one mask for all, or a folder or an s3:// prefix of masks with the pictures' names."
        ),
    ] = None,
    format: Annotated[
        Literal["png", "jpg", "webp", "tif"], typer.Option(help="Format of many outputs.")
    ] = "png",
    depth: Annotated[
        Literal["input", "8", "16"],
        typer.Option(help="Bits a channel; default: those of the input, in PNG and TIFF."),
    ] = "input",
    profile: Annotated[
        Literal["srgb", "keep"],
        typer.Option(help="Convert colours to sRGB, or keep the input's colour profile."),
    ] = "srgb",
    metadata: Annotated[
        Literal["all", "anonymous", "none"],
        typer.Option(
            help="EXIF and XMP of the input: all, or only the EXIF that identifies neither a person nor a "
            "place nor a single device, or none."
        ),
    ] = "all",
    workers: Annotated[int, typer.Option(help="Processes that restore.", min=1)] = 1,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of each worker; default: all, shared.", min=1)
    ] = None,
    batch: Annotated[int, typer.Option(help="Pictures restored together.", min=1)] = 8,
) -> None:
    """Restore one picture or many; an interrupted batch resumes."""
    from drdd.batch.plan import is_picture
    from drdd.formats.carried import Keeping, format_of
    from drdd.inference.options import Options
    from drdd.sources.overwriting import refuse_overwriting
    from drdd.storage.single import refuse_unwritable

    if "" in (places := (*inputs, output, mask, uncertainty)):
        raise UserError(
            "an input, --output, --mask or --uncertainty is empty",
            "name a file, or . for the folder in which you are",
        )
    if "-" in places:
        raise UserError(
            "- stands for a stream, and pictures are read from and written to files",
            "name a file; ./- is one of this name",
        )
    options = Options(steps, steps, noise_level, seed, samples=samples, scale=scale)
    if uncertainty and samples == 1:
        raise UserError(
            "--uncertainty says how much samples differ, and there is one", "add --samples 8"
        )
    keeping = Keeping(metadata, profile, "input" if depth == "input" else 8 if depth == "8" else 16)
    one = len(inputs) == 1 and is_picture(inputs[0]) and _is_file(output)
    if one:
        written = [output, *([uncertainty] if uncertainty else [])]
        keeping.check(format_of(Path(output)))
        _check_map(*map(Path, written))
        read = [inputs[0], *([mask] if mask else [])]
        refuse_overwriting([Path(place) for place in written if "://" not in place], read)
        if replaced := [place for place in read if place in written]:  # of an object
            raise UserError(f"{replaced[0]} would be replaced; name another output")
    else:
        written = [f"{place.rstrip('/')}/" for place in (output, uncertainty) if place]
        keeping.check(format_of(Path(f"x.{format}")))
    for place in written:
        refuse_unwritable(place)
    folder, named = _model(model or _default(registry), registry)
    if one:
        _one(inputs[0], output, folder, named, options, keeping, uncertainty, mask)
        return
    cores = threads or max(1, (os.cpu_count() or 1) // workers)
    kept, size = (f".{format}", keeping), (workers, cores, batch)
    _many(inputs, output, folder, named, options, kept, size, uncertainty, mask)


def _check_map(output: Path, uncertainty: Path | None = None) -> None:
    if uncertainty is None:
        return
    if uncertainty.suffix.lower() != ".png":
        raise UserError(
            f"--uncertainty {uncertainty}: a map is a PNG, because it has to be exact",
            "name a file that ends in .png",
        )
    if uncertainty.resolve() == output.resolve():
        raise UserError(f"--uncertainty {uncertainty} would replace the output; name another file")


def _default(registry: str | None) -> str:
    """The champion. Or the base where none is published: no registry is named, or it has no champion."""
    from drdd.registry.location import default_registry, is_published

    if registry or (_has_registry() and is_published(CHAMPION, default_registry())):
        return CHAMPION
    console(stderr=True, soft_wrap=True).print(
        "no model is published yet: the base that ships with drdd is used"
    )
    return BASE


def _has_registry() -> bool:
    from drdd.registry.location import is_project

    return is_project(Path()) or bool(os.environ.get("DRDD_REGISTRY"))


def _model(model: str, registry: str | None) -> tuple[Path, str]:
    """The model's folder, and a name by which other machines find the same version too."""
    from drdd.registry.location import cached, default_registry, folder_of
    from drdd.registry.manifest import is_ref

    if model == BASE:
        return folder_of(model), BASE
    sought = is_ref(model) and (registry or _has_registry())
    if is_file(Path(model) / "config.json") or not sought:
        folder = folder_of(model)
    else:
        registry = registry or default_registry()
        try:
            folder = cached(model, registry)
        except UserError as error:
            where = f"{shortened(model)!r} is neither base nor a model folder, and was sought in {registry}"
            raise UserError(f"{where}: {error.sentence}", error.remedy) from None
    published = registry and "://" in registry
    return folder, f"{registry}/versions/{folder.name}" if published else str(folder.absolute())


def _last(named: str) -> str:
    return short(named.rpartition("/")[2])


def _is_file(output: str) -> bool:
    """Whether a name is that of a file, there or not: it has a suffix, and is no folder."""
    is_folder = os.path.isdir(output)  # noqa: PTH112, since Path's raises an error for a long name
    return bool(PurePosixPath(output).suffix) and output[-1] != "/" and not is_folder


def _one(
    picture: str,
    output: str,
    folder: Path,
    named: str,
    options: "Options",
    keeping: "Keeping",
    uncertainty: str | None,
    mask: str | None,
) -> None:
    from drdd.batch.worker import mask_of_one, read_one
    from drdd.formats.carried import format_of
    from drdd.formats.writing import encoded
    from drdd.inference.engine import Restorer
    from drdd.inference.scales import scale_of
    from drdd.pictures.uncertainty import said_of, uncertainty_png
    from drdd.storage.single import write_object

    format_ = format_of(Path(output))
    restorer = Restorer.from_folder(folder)
    restorer.check(options, masked=mask is not None)
    source = read_one(picture, keeping, format_, scale_of(restorer.model, options.scale))
    hole = mask_of_one(mask, source) if mask else None
    restored = restorer.restore(source.pixels, options, mask=hole)
    written = encoded(restored.output, source.carried, keeping, format_)
    write_object(output, written.content)
    height, width = restored.output.shape[:2]
    said = f"{output}  {width} x {height}  by model {_last(named)}"
    out.print(printable(said), soft_wrap=True)
    if written.said:
        out.print(printable(f"{output}: {'; '.join(written.said)}"), soft_wrap=True)
    if restored.deviation is None:
        return
    if uncertainty:
        write_object(uncertainty, uncertainty_png(restored.deviation))
    said = ": ".join([*([uncertainty] if uncertainty else []), said_of(restored.deviation)])
    out.print(printable(said), soft_wrap=True)


def _many(
    inputs: list[str],
    output: str,
    folder: Path,
    named: str,
    options: "Options",
    kept: tuple[str, "Keeping"],
    size: tuple[int, int, int],
    uncertainty: str | None,
    mask: str | None,
) -> None:
    from drdd.batch.ledger import FILE, RestoreLedger
    from drdd.batch.plan import absolute, plan
    from drdd.batch.run import restore_all
    from drdd.batch.worker import Recipe, weights_of
    from drdd.formats.carried import FORMATS
    from drdd.inference.engine import Restorer
    from drdd.progress import Reporter
    from drdd.storage.objects import Store

    Restorer.from_folder(folder).check(options, masked=mask is not None)
    suffix, keeping = kept
    planned = plan(inputs, output, suffix, uncertainty, mask)
    if _is_file(output) and PurePosixPath(output).suffix.lower() in FORMATS:
        said = f"{output} names one picture, but {', '.join(inputs[:3])} may be several"
        raise UserError(said, "name a folder, or write a / behind it")
    for row in planned.counted:
        out.print(printable(f"{row.name}: {row.reason}"), soft_wrap=True)
    output, maps = (one and absolute(one) for one in (output, uncertainty or ""))
    ledger = RestoreLedger(Store(output))
    before = dict(ledger.records)
    recipe = Recipe(named, weights_of(folder), options, suffix, keeping, maps)
    with tempfile.TemporaryDirectory() as scratch:  # nobody watches it from elsewhere
        reporter = Reporter("restore", Path(scratch))
        records = restore_all(planned.files, ledger, recipe, reporter, *size)
        reporter.finish("done")
    failed = [record for record in records if record.problem]
    there = sum(before.get(record.input) == record for record in records if not record.problem)
    done = len(records) - len(failed) - there
    said = f"{output}: {done} restored, {there} were there already, by model {_last(named)}"
    out.print(printable(said), soft_wrap=True)
    _print_notes(records)
    if failed:
        listed = "; ".join(f"{record.input}: {record.problem}" for record in failed[:LISTED])
        more = f"; and {len(failed) - LISTED} more" if len(failed) > LISTED else ""
        raise UserError(
            f"{len(failed)} of {len(records)} files could not be restored ({FILE} has all): {listed}{more}"
        )


def _print_notes(records: "Sequence[Record]") -> None:
    """One line of what was converted or left out, and in how many pictures."""
    counts = Counter(record.note for record in records if record.note)
    said = [f"{count} x {note}" for note, count in counts.most_common(LISTED)]
    more = [f"and {len(counts) - LISTED} other kinds"] if len(counts) > LISTED else []
    if said:
        out.print(printable("; ".join([*said, *more])), soft_wrap=True)
