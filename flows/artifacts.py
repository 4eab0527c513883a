"""The artifacts of a run in the Prefect UI: progress, verdicts, tables, pictures, links and failures."""

import base64
import html
import io
import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.exceptions import PrefectHTTPStatusError

from drdd.gates.judgement import Ends, Judgement
from drdd.pictures.opening import open_picture
from drdd.progress import Status, describe
from drdd.report.wording import against_champion, needed, verdict
from drdd.stages.paths import GRID, METRICS, PUBLISHED, REPORT

GRID_WIDTH = 900
AWAY = (httpx.TransportError, PrefectHTTPStatusError)
PATIENCE_S, POLL_S = 300.0, 2.0
DASHBOARD = "DRDD_RAY_DASHBOARD"  # such as http://127.0.0.1:8265


P = ParamSpec("P")
R = TypeVar("R")


def patient(function: Callable[P, R]) -> Callable[P, R]:
    """Retry while the Prefect server does not answer, so that its outage does not fail a run."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                return function(*args, **kwargs)
            except AWAY:
                if time.monotonic() > give_up:
                    raise
                time.sleep(POLL_S)

    return run


def progress(artifact: UUID | None, status: Status) -> UUID | None:
    """Update the progress bar of a stage's task:

    images done, ETA, loss. Skipped while the server is away.
    """
    percent = 100 * status.done / status.total
    with suppress(*AWAY):
        if artifact is None:
            return cast(UUID, create_progress_artifact(percent, description=describe(status)))
        update_progress_artifact(artifact, percent, description=describe(status))
    return artifact


def ray_job(stage: str, number: str) -> bool:
    """Add the link to a stage's job on the Ray cluster. False while the server is away."""
    dashboard = os.environ.get(DASHBOARD)
    said = f"{stage} is job {number} of the Ray cluster"
    with suppress(*AWAY):
        if dashboard:
            link = f"{dashboard}/#/jobs/{number}"
            create_link_artifact(link, number, key="ray-job", description=said)
        else:
            create_markdown_artifact(
                f"{said} at {os.environ.get('RAY_ADDRESS', '')}", key="ray-job"
            )
        return True
    return False


@patient
def failure(stage: str, word: str, advice: str, lines: Iterable[str]) -> None:
    text = "\n".join(html.escape(line, quote=False) for line in lines)
    create_markdown_artifact(
        f"**{stage}**: {html.escape(word, quote=False)}\n\n```\n{text}\n```\n\n{advice}\n",
        key="failure",
        description=f"{stage}: its last lines, and what is likely to help",
    )


@patient
def judged(root: Path) -> None:
    """Add the results of the evaluation, after the judge stage."""
    metrics = Judgement.model_validate_json((root / METRICS).read_bytes())
    said = "every gate is passed" if metrics.passed else "a gate is missed"
    create_table_artifact(_rows(metrics), key="metrics", description=f"Held-out images: {said}.")
    create_table_artifact(_gates(metrics), key="gates", description="What the alias asks for")
    create_image_artifact(
        _data_uri(root / GRID),
        key="pictures",
        description="input | reference | de-residual | output | target",
    )


@patient
def links(root: Path, experiment: str | None, notes: Iterable[str]) -> None:
    """Add links to the report, the version, the experiment and the folder."""
    places = [f"report: {_linked((root / REPORT).resolve())}"] if (root / REPORT).exists() else []
    if (root / PUBLISHED).exists():
        published = json.loads((root / PUBLISHED).read_text())
        moved = "moved to it" if published["promoted"] else "not moved"
        places += [
            f"model: {published['uri']}",
            f"its report: {published['uri']}/{REPORT.name}",
            f"alias {published['alias']}: {moved}",
            *published["missed"],
            *published["notes"],
        ]
    places += [f"experiment: {experiment} (`dvc exp show`, `dvc exp apply {experiment}`)"] * bool(
        experiment
    )
    places += [f"workspace: {_linked(root.resolve())}", *notes]
    text = "\n".join(f"- {place}" for place in places)
    create_markdown_artifact(text, key="links", description="Where things are")


def _linked(path: Path) -> str:
    return f"[{path}]({path.as_uri()})"


def _rows(metrics: Judgement) -> list[dict[str, Any]]:
    """One row per task: PSNR in dB and SSIM of input, reference (None without one) and output, RGB."""
    return [
        {
            "task": task,
            "images": result.images,
            "PSNR of the input, dB": round(result.input["psnr_rgb"], 2),
            "PSNR of the reference, dB": _rounded(result.reference.get("psnr_rgb"), 2),
            "PSNR, dB": round(result.output["psnr_rgb"], 2),
            "gain, dB": round(result.gain["psnr_rgb"], 2),
            "95 %": _interval(result.intervals.gain.get("psnr_rgb")),
            "needed, dB": needed(metrics, task),
            "SSIM of the input": round(result.input["ssim_rgb"], 3),
            "SSIM of the reference": _rounded(result.reference.get("ssim_rgb"), 3),
            "SSIM": round(result.output["ssim_rgb"], 3),
            "against the champion": against_champion(metrics, task),
            "gates": verdict(metrics, task),
        }
        for task, result in metrics.tasks.items()
    ]


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _interval(ends: Ends) -> str:
    """The interval in ASCII, which sweeps parse."""
    return "" if ends is None else " to ".join(f"{end:+.2f}" for end in ends)


def _gates(metrics: Judgement) -> list[dict[str, str]]:
    return [
        {
            "gate": gate.gate,
            "task": gate.task or "",
            "verdict": "passed" if gate.passed else "missed",
            "said": gate.said,
        }
        for gate in metrics.gates
    ]


def _data_uri(path: Path) -> str:
    """The picture as a data URI, because a browser has no keys for the store of the grid."""
    image = open_picture(path.read_bytes()).convert("RGB")
    image.thumbnail((GRID_WIDTH, 10 * GRID_WIDTH))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
