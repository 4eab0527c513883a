"""What a finished run made, for the terminal: the metric table and where things are."""

import json
from pathlib import Path

from prefect.client.schemas.objects import FlowRun
from rich.table import Table

from drdd.evaluation.wording import needed, verdict
from drdd.params import FILE, load
from drdd.stages.paths import METRICS, PUBLISHED, REPORT
from flows.workspace import RUNS

MARKS = {"passed": "[green]passed[/]", "missed": "[red]missed[/]", "fell": "[red]fell[/]"}


def summary(root: Path, run: FlowRun, port: int) -> tuple[Table, str]:
    """The metric table, and the lines that say where things are; port: of the service."""
    folder = root / RUNS / str(run.id) if run.parameters.get("overrides") else root
    metrics = json.loads((folder / METRICS).read_text())
    published = json.loads((folder / PUBLISHED).read_text())
    table = Table(box=None)
    for heading in ("task", "PSNR, dB", "gain", "needed", "SSIM", "gates"):
        table.add_column(heading, justify="left" if heading == "task" else "right")
    for task, row in metrics["tasks"].items():
        before, after = row["input"], row["output"]
        word = verdict(metrics, task)
        table.add_row(
            task,
            f"{before['psnr_rgb']:.2f} → {after['psnr_rgb']:.2f}",
            f"{row['gain']['psnr_rgb']:+.2f}",
            needed(metrics, task),
            f"{before['ssim_rgb']:.3f} → {after['ssim_rgb']:.3f}",
            MARKS.get(word, word),
        )
    alias = published["alias"]
    if not published["promoted"]:
        model, service = f"gate missed, alias {alias} not moved", "left as it was"
    elif alias == load(root / FILE).publish.alias and folder == root:
        model, service = (
            f"alias {alias}",
            f"http://127.0.0.1:{port}  (the page; POST /v1/restore, /docs)",
        )
    else:
        model, service = f"alias {alias}", "left as it was: a trial"
    places = [
        *(("missed", said) for said in published["missed"]),
        *(("note", said) for said in published["notes"]),
        ("report", str((folder / REPORT).resolve())),
        ("model", f"{published['uri']}  ({model})"),
        ("service", service),
    ]
    return table, "\n".join(f" {name:9}{place}" for name, place in places)
