"""How the runs of a sweep compare: a table, a CSV, and a page with a plot."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from rich.table import Table

from drdd.files import write_bytes
from drdd.report.axes import ticks
from flows.summary import metrics

GAIN, INTERVAL = "gain, dB", "95 %"
NUMBERS = ("task", "PSNR, dB", GAIN, INTERVAL, "SSIM", "gates")
WIDTH, ROW, HEAD, FOOT, PAD = 900, 24, 34, 44, 30
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;"
    "color:#1b2230;background:#fff}table{border-collapse:collapse}td,th{padding:.2rem .8rem;"
    "text-align:right;border-bottom:1px solid #e3e4e0}td:first-child,th:first-child{text-align:left}"
    ".scroll{overflow-x:auto}svg text{font:12px system-ui,sans-serif;fill:#1b2230}"
    "svg .end{text-anchor:end}svg .mid{text-anchor:middle}svg .head{font-size:14px;font-weight:600}"
    "svg .grid{stroke:#e3e4e0}svg .zero{stroke:#626c7b}svg .bar{stroke:#2457c5;stroke-width:2}"
    "svg circle{fill:#2457c5}"
)


def compared(
    client: SyncPrefectClient, runs: Sequence[FlowRun], chosen: Sequence[Mapping[str, str]]
) -> pd.DataFrame:
    """A row for each run and task: the values of its params, its state, PSNR and gain in dB, SSIM.

    A run that was not judged has one row, without numbers.
    """
    rows: list[dict[str, Any]] = []
    for run, values in zip(runs, chosen, strict=True):
        head = {**values, "run": run.name, "state": run.state_name}
        for row in metrics(client, run.id) or [{}]:
            rows.append({**head, **{name: row.get(name) for name in NUMBERS}})
    return pd.DataFrame(rows)


def table(frame: pd.DataFrame) -> Table:
    made = Table(box=None)
    for name in frame.columns:
        number = pd.api.types.is_numeric_dtype(frame[name])
        made.add_column(name, justify="right" if number else "left")
    for row in frame.itertuples(index=False):
        made.add_row(*(_cell(value) for value in row))
    return made


def write(folder: Path, frame: pd.DataFrame, keys: Sequence[str]) -> Path:
    """runs.csv, and index.html, which needs nothing else; returns the path of the page."""
    write_bytes(folder / "runs.csv", frame.to_csv(index=False).encode())
    head = "".join(f"<th>{escape(name)}</th>" for name in frame.columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_cell(value))}</td>" for value in row) + "</tr>"
        for row in frame.itertuples(index=False)
    )
    title = f"Sweep over {', '.join(keys)}"
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style><h1>{escape(title)}</h1>{plot(frame, keys)}"
        f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div></html>\n'
    )
    write_bytes(folder / "index.html", page.encode())
    return folder / "index.html"


def plot(frame: pd.DataFrame, keys: Sequence[str]) -> str:
    """An <svg> element: for each task the gain of each run, with its interval; "" without numbers."""
    judged = frame.dropna(subset=[GAIN])
    if judged.empty:
        return ""
    ends = [_ends(row) for _, row in judged.iterrows()]
    low, high = min(0.0, *(end[0] for end in ends)), max(0.0, *(end[1] for end in ends))
    high = max(high, low + 0.1)
    names = [
        " ".join(f"{key.split('.')[-1]}={row[key]}" for key in keys) for _, row in judged.iterrows()
    ]
    left = 20 + 7 * max(len(name) for name in names)
    tasks = list(dict.fromkeys(judged["task"]))
    height = FOOT + sum(HEAD + ROW * int((judged["task"] == task).sum()) for task in tasks)

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (WIDTH - PAD - left)

    parts, y = [], 0.0
    for tick in ticks(high, low, 6):
        kind = "zero" if tick == 0 else "grid"
        parts.append(
            f'<line class="{kind}" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{HEAD}" '
            f'y2="{height - FOOT}"/>'
        )
        parts.append(_text(x(tick), height - FOOT + 18, f"{tick:g}", "mid"))
    for task in tasks:
        y += HEAD
        parts.append(_text(8, y - 10, task, "head"))
        for place, name in enumerate(names):
            if judged["task"].iloc[place] != task:
                continue
            (first, last), gain = ends[place], float(judged[GAIN].iloc[place])
            middle = y + ROW / 2
            parts.append(_text(left - 10, middle + 4, name, "end"))
            parts.append(
                f'<line class="bar" x1="{x(first):.1f}" x2="{x(last):.1f}" y1="{middle:.1f}" '
                f'y2="{middle:.1f}"/>'
            )
            parts.append(f'<circle cx="{x(gain):.1f}" cy="{middle:.1f}" r="4"/>')
            y += ROW
    parts.append(
        _text((left + WIDTH) / 2, height - 6, "PSNR gain over the degraded input, dB", "mid")
    )
    label = "PSNR gain of each run"
    return f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _ends(row: "pd.Series[Any]") -> tuple[float, float]:
    """Of the interval, which may be missing."""
    found = [float(number) for number in re.findall(r"[+-]?\d+\.\d+", row[INTERVAL] or "")]
    return (found[0], found[1]) if len(found) == 2 else (row[GAIN], row[GAIN])


def _text(x: float, y: float, said: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(said)}</text>'


def _cell(value: Any) -> str:
    return "" if value is None or value != value else str(value)
