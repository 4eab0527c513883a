"""What `drdd models` shows, as tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from drdd.registry.aliases import Alias
from drdd.registry.cleaning import Leftover
from drdd.registry.differences import Change, flat
from drdd.registry.manifest import Version
from drdd.registry.signing import signer

PASSED = {True: "[green]passed[/]", False: "[red]missed[/]", None: ""}
DIGITS = 16  # of a SHA-256 that is only compared by eye


def version_list(
    uri: str, versions: Sequence[Version], names: Mapping[str, Sequence[str]]
) -> Table:
    """names: the aliases of each version's id."""
    signed = ["signed by"] if any(version.signature for version in versions) else []
    headings = ("version", "alias", "created (UTC)", "PSNR gain", "gate", "size", *signed)
    table = _table(uri, *headings)
    for version in versions:
        metrics = version.about.get("metrics", {})
        gain = metrics.get("mean", {}).get("gain", {}).get("psnr_rgb")
        row = (
            version.id,
            ", ".join(names[version.id]),
            _when(version.created),
            "" if gain is None else f"{gain:+.2f} dB",
            PASSED[passed(version)],
            _size(version.size),
            version.signature.key[:8] if version.signature else "",
        )
        table.add_row(*row[: len(headings)])
    return table


def version_page(version: Version, aliases: Sequence[Alias]) -> Group:
    """All that is known of one version; aliases: those that point to it or once did."""
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
            table.add_row(change.key, old, new)
        tables.append(table)
    return Group(*tables) if tables else Group("no difference")


def leftover_table(uri: str, found: Sequence[Leftover]) -> Table:
    table = _table(uri, "left over", "why", "last written (UTC)", "objects")
    for one in found:
        count = len(one.objects) + (one.version is not None)
        table.add_row(one.name, one.why, _when(one.since.isoformat()), str(count))
    return table


def passed(version: Version) -> bool | None:
    """Were its gates met when it was published? None when nothing is known of any."""
    metrics = version.about.get("metrics", {})
    found: bool | None = version.about.get("gate", metrics).get("passed")
    return found


def _parts(version: Version, aliases: Sequence[Alias]) -> Iterator[RenderableType | None]:
    yield _facts(version, aliases)
    yield _metrics(version.about.get("metrics", {}).get("tasks", {}))
    yield _gates(version.about)
    yield _history(version, aliases)
    yield _pairs("libraries", version.about.get("libraries", {}))
    yield _pairs("data", version.about.get("data", {}))
    files = _table("files", "file", "size", "SHA-256")
    for name, file in version.files.items():
        files.add_row(name, _size(file.size), file.sha256)
    yield files


def _facts(version: Version, aliases: Sequence[Alias]) -> Table:
    about = version.about
    table = Table(box=None, title=version.uri, title_justify="left", show_header=False)
    start = about.get("start") or {}
    for key, value in {
        "created (UTC)": _when(version.created),
        "aliases": ", ".join(alias.name for alias in aliases if alias.version == version.id),
        "gate": PASSED[passed(version)],
        "signature": signer(version),
        "git": about.get("git") or "",
        "dvc.lock": about.get("dvc_lock") or "",
        "began from": start.get("version") or ("random weights" if start else ""),
        "tasks": ", ".join(about.get("metrics", {}).get("tasks", {})),
        "size": _size(version.size),
    }.items():
        table.add_row(key, value)
    return table


def _metrics(tasks: Mapping[str, Any]) -> Table | None:
    """A row a task and metric: input, output, and the gain with its 95 % interval where known."""
    if not tasks:
        return None
    table = _table("metrics", "task", "images", "metric", "input", "output", "gain", "95 %")
    for task, row in tasks.items():
        before, after = row.get("input", {}), row.get("output", {})
        for metric in after:
            interval = row.get("intervals", {}).get("gain", {}).get(metric)
            table.add_row(
                task,
                str(row.get("images", "")),
                metric,
                _value(before.get(metric)),
                _value(after[metric]),
                _value(row.get("gain", {}).get(metric)),
                " to ".join(_value(end) for end in interval) if interval else "",
            )
    return table


def _gates(about: Mapping[str, Any]) -> Table | None:
    gates = about.get("metrics", {}).get("gates") or about.get("gates")
    if not gates:
        return None
    table = _table("gates", "gate", "task", "verdict", "said")
    for gate in gates:
        verdict = PASSED[bool(gate["passed"])]
        table.add_row(gate["gate"], gate.get("task") or "", verdict, escape(gate.get("said", "")))
    return table


def _history(version: Version, aliases: Sequence[Alias]) -> Table | None:
    if not aliases:
        return None
    table = _table("history of its aliases", "alias", "moved (UTC)", "to", "why", "by")
    for alias in aliases:
        for move in alias.history:
            to = f"[bold]{move.version}[/]" if move.version == version.id else move.version
            why = escape(move.why) or ("rolled back" if move.rollback else "")
            table.add_row(alias.name, _when(move.moved), to, why, escape(move.by))
    return table


def _pairs(title: str, content: Mapping[str, Any]) -> Table | None:
    if not content:
        return None
    table = Table(box=None, title=title, title_justify="left", show_header=False)
    for key, value in flat(content).items():
        table.add_row(key, _value(value))
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(box=None, title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _when(text: str) -> str:
    return text[:19].replace("T", " ")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 50_000 else f"{count} B"


def _value(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))
