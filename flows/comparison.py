"""Compare the runs of a sweep: a table, a CSV, and a page with a plot."""

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
from flows.summary import metrics

GAIN, INTERVAL = "gain, dB", "95 %"
NUMBERS = ("task", "PSNR, dB", GAIN, INTERVAL, "SSIM", "gates")
WIDTH, ROW, HEAD, FOOT, PAD = 900, 24, 34, 44, 30
PAGE = (
    ":root{--ink:#1b2230;--faint:#5d6675;--line:#e2e3df;--accent:#2457c5}"
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;"
    "color:var(--ink);background:#fff}table{border-collapse:collapse}td,th{padding:.2rem .8rem;"
    "text-align:right;border-bottom:1px solid var(--line)}td:first-child,th:first-child{text-align:left}"
    ".scroll{overflow-x:auto}svg text{font-family:system-ui,sans-serif!important}"
)


def compared(
    client: SyncPrefectClient, runs: Sequence[FlowRun], chosen: Sequence[Mapping[str, str]]
) -> pd.DataFrame:
    """A row per run and task: the values of its params, its state, PSNR and gain in dB, SSIM.

    A run without results has one row, without numbers.
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
    """Write runs.csv and a self-contained index.html. Returns the path of the page."""
    write_bytes(folder / "runs.csv", frame.to_csv(index=False).encode())
    head = "".join(f"<th>{escape(name)}</th>" for name in frame.columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_cell(value))}</td>" for value in row) + "</tr>"
        for row in frame.itertuples(index=False)
    )
    title = f"Sweep over {', '.join(keys)}"
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{PAGE}</style><h1>{escape(title)}</h1>{plot(frame, keys)}"
        f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div></html>\n'
    )
    write_bytes(folder / "index.html", page.encode())
    return folder / "index.html"


def plot(frame: pd.DataFrame, keys: Sequence[str]) -> str:
    """An <svg> element: for each task the gain of each run, with its interval; "" without numbers."""
    judged = frame.dropna(subset=[GAIN])
    if judged.empty:
        return ""
    from matplotlib import rc_context  # takes a second, which other commands need not wait

    from drdd.drawing.svg import ACCENT, FAINT, INK, NUMBERS, STYLE, figure, inline, ticks

    rows = {str(task): of_task for task, of_task in judged.groupby("task", sort=False)}
    names = {index: " ".join(f"{key.split('.')[-1]}={row[key]}" for key in keys)
             for index, row in judged.iterrows()}  # fmt: skip
    left = 20 + 7 * max(len(name) for name in names.values())
    height = FOOT + sum(HEAD + ROW * len(of_task) for of_task in rows.values())
    with rc_context(STYLE):
        drawn = figure(WIDTH, height)
        size = (WIDTH - PAD - left) / WIDTH, (height - HEAD - FOOT) / height
        axes = drawn.add_axes((left / WIDTH, FOOT / height, *size))
        axes.patch.set_visible(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, pad=8)
        axes.grid(axis="x")
        axes.axvline(0, color=FAINT, linewidth=1, gid="zero")
        places, y = {}, HEAD - ROW / 2
        for task, of_task in rows.items():
            axes.annotate(task, (8, height - y), xycoords="figure pixels", fontsize=14, color=INK)
            for index, row in of_task.iterrows():
                y += ROW
                places[y] = names[index]
                axes.plot(_ends(row), (y, y), color=ACCENT, linewidth=2, gid="bar")
                axes.plot([row[GAIN]], [y], "o", color=ACCENT, markersize=8, mew=0, gid="gain")
            y += HEAD
        axes.set_ylim(height - FOOT, HEAD)
        axes.set_yticks(list(places), list(places.values()))
        axes.xaxis.set_major_locator(ticks(6))
        axes.xaxis.set_major_formatter(NUMBERS)
        axes.set_xlabel("PSNR gain over the degraded input, dB")
        for part in drawn.findobj():
            part.set_clip_on(False)
        return inline(drawn, "PSNR gain of each run", "plot")


def _ends(row: "pd.Series[Any]") -> tuple[float, float]:
    """The ends of the interval; both are the gain if it is missing."""
    found = [float(number) for number in re.findall(r"[+-]?\d+\.\d+", row[INTERVAL] or "")]
    return (found[0], found[1]) if len(found) == 2 else (row[GAIN], row[GAIN])


def _cell(value: Any) -> str:
    return "" if value is None or value != value else str(value)
