"""The tables of `drdd models`. What they show was written by publishers: no string of it is markup."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from drdd.gates.judgement import Judgement, published
from drdd.metrics.catalogue import PSNR, metric_of
from drdd.registry.aliases import Alias
from drdd.registry.cleaning import Leftover
from drdd.registry.differences import Change, flat
from drdd.registry.manifest import Version
from drdd.registry.registry import Damaged
from drdd.registry.signing import signer
from drdd.shown import printable, short

PASSED = {True: Text("passed", "green"), False: Text("missed", "red"), None: Text()}
DIGITS = 16  # shown of a SHA-256
SHOWN, LONG = 20, 300  # characters of the name of a damaged version, and of what is wrong with it


def version_list(
    uri: str,
    versions: Sequence[Version],
    names: Mapping[str, Sequence[str]],
    damaged: Sequence[Damaged],
) -> Table:
    """names: the aliases of each version's id. damaged: a row each, with the reason."""
    signed = ["signed by"] if any(version.signature for version in versions) else []
    headings = ("version", "alias", "created (UTC)", "PSNR gain", "gate", "size", *signed)
    table = _table(uri, *headings)
    for version in versions:
        judged = published(version.about)
        gain = judged.mean.gain.get("psnr_rgb") if judged else None
        row = (
            short(version.id),
            ", ".join(names[version.id]),
            _when(version.created),
            "" if gain is None else f"{PSNR.change(gain)} {PSNR.unit}",
            PASSED[judged.passed if judged else None],
            _size(version.size),
            version.signature.key[:8] if version.signature else "",
        )
        _add(table, *row[: len(headings)])
    for one in damaged:
        _add(table, short(one.name)[:SHOWN], Text(f"damaged: {printable(one.why)[:LONG]}", "red"))
    return table


def version_page(version: Version, aliases: Sequence[Alias]) -> Group:
    """All facts about one version. aliases: those that point to it or once did."""
    return Group(*(part for part in _parts(version, aliases) if part is not None))


def difference_tables(found: Mapping[str, Sequence[Change]]) -> Group:
    tables: list[RenderableType] = []
    for section, changes in found.items():
        if not changes:
            continue
        table = _table(section, "key", "old", "new")
        for change in changes:
            old, new = _value(change.old), _value(change.new)
            if section == "files":
                old, new = old[:DIGITS], new[:DIGITS]
            _add(table, change.key, old, new)
        tables.append(table)
    return Group(*tables) if tables else Group("no difference")


def leftover_table(uri: str, found: Sequence[Leftover]) -> Table:
    table = _table(uri, "left over", "why", "last written (UTC)", "objects")
    for one in found:
        count = len(one.objects) + (one.version is not None)
        _add(table, _short_name(one.name), one.why, _when(one.since.isoformat()), str(count))
    return table


def _parts(version: Version, aliases: Sequence[Alias]) -> Iterator[RenderableType | None]:
    judged = published(version.about)
    yield _facts(version, aliases, judged)
    if judged and judged.tasks:
        yield _metrics(judged)
    if judged and judged.gates:
        yield _gates(judged)
    yield _history(version, aliases)
    yield _pairs("libraries", version.about.get("libraries", {}))
    yield _pairs("data", version.about.get("data", {}))
    files = _table("files", "file", "size", "SHA-256")
    for name, file in version.files.items():
        _add(files, name, _size(file.size), file.sha256)
    yield files


def _facts(version: Version, aliases: Sequence[Alias], judged: Judgement | None) -> Table:
    about = version.about
    table = _table(version.uri)
    facts: dict[str, str | Text] = {
        "created (UTC)": _when(version.created),
        "aliases": ", ".join(alias.name for alias in aliases if alias.version == version.id),
        "gates": PASSED[judged.passed if judged else None],
        "signature": signer(version),
        "git": about.get("git") or "",
        "dvc.lock": about.get("dvc_lock") or "",
        "began from": ", ".join(
            f"{stage}: {short(start)}" for stage, start in about.get("start", {}).items()
        ),
        "tasks": ", ".join(judged.tasks if judged else ()),
        "size": _size(version.size),
    }
    for key, value in facts.items():
        _add(table, key, value)
    return table


def _metrics(judged: Judgement) -> Table:
    """A row per task and metric: input, reference if there is one, output, and gain with its interval."""
    parts = ("input", "reference", "output")
    table = _table("metrics", "task", "images", "metric", *parts, "gain", "95 %")
    for task, result in judged.tasks.items():
        for name in result.output:
            metric = metric_of(name)
            _add(
                table,
                task,
                str(result.images),
                metric.heading,
                metric.value(result.input.get(name)),
                metric.value(result.reference[name]) if name in result.reference else "",
                metric.value(result.output[name]),
                metric.change(result.gain.get(name)),
                metric.interval(result.intervals.gain.get(name), signed=True),
            )
    return table


def _gates(judged: Judgement) -> Table:
    table = _table("gates", "gate", "task", "verdict", "said")
    for gate in judged.gates:
        _add(table, gate.gate, gate.task or "", PASSED[gate.passed], gate.said)
    return table


def _history(version: Version, aliases: Sequence[Alias]) -> Table | None:
    if not aliases:
        return None
    table = _table("history of its aliases", "alias", "moved (UTC)", "to", "why", "by")
    for alias in aliases:
        for move in alias.history:
            to = Text(short(move.version), "bold" if move.version == version.id else "")
            why = move.why or ("rolled back" if move.rollback else "")
            _add(table, alias.name, _when(move.moved), to, why, move.by)
    return table


def _pairs(title: str, content: Mapping[str, Any]) -> Table | None:
    if not content:
        return None
    table = _table(title)
    for key, value in flat(content).items():
        _add(table, key, _value(value))
    return table


def _table(title: str, *headings: str) -> Table:
    """A table; without headings it has two columns and no head."""
    shown = Text(printable(title))
    table = Table(box=None, title=shown, title_justify="left", show_header=bool(headings))
    for heading in headings or ("", ""):
        table.add_column(heading, overflow="fold")
    return table


def _add(table: Table, *cells: str | Text) -> None:
    """Every row passes here: a string is shown as it is written, with what steers a terminal escaped."""
    table.add_row(*(Text(printable(one)) if isinstance(one, str) else one for one in cells))


def _when(text: str) -> str:
    return text[:19].replace("T", " ")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 50_000 else f"{count} B"


def _value(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _short_name(name: str) -> str:
    """Of a leftover: versions/<id>, or an object."""
    top, slash, rest = name.partition("/")
    return f"{top}{slash}{short(rest)}"
