"""The summary of a finished run for the terminal, from its artifacts in Prefect."""

import json
import re
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.sorting import ArtifactSort
from rich.table import Table
from rich.text import Text

COLOURS = {
    "passed": "green",
    "not gated": "default",
}  # of verdicts; any other verdict is a missed gate
SHOWN = {
    "PSNR of the input, dB": "input, dB",
    "PSNR of the reference, dB": "reference, dB",
    "PSNR, dB": "PSNR, dB",
    "gain, dB": "gain, dB",
}


def metrics(client: SyncPrefectClient, run: UUID) -> list[dict[str, Any]]:
    """A row per task, as in flows.artifacts; [] if the run has no results."""
    found = _artifact(client, run, "metrics")
    return json.loads(found) if found else []


def places(client: SyncPrefectClient, run: UUID) -> list[str]:
    """Lines such as "report: PATH", with notes."""
    found = _artifact(client, run, "links") or ""
    lines = [line.removeprefix("- ") for line in found.splitlines()]
    return [re.sub(r"\[(.*?)\]\(.*?\)", r"\1", line).replace("`", "") for line in lines]


def table(rows: list[dict[str, Any]]) -> Table:
    made = Table(box=None)
    made.add_column("task")
    for heading in (*SHOWN.values(), "95 %", "needed, dB", "SSIM", "gates"):
        made.add_column(heading, justify="right")
    for row in rows:
        numbers = ["" if row[name] is None else f"{row[name]:.2f}" for name in SHOWN]
        numbers[-1] = f"{row['gain, dB']:+.2f}"
        colour = COLOURS.get(row["gates"], "red")
        rest = (row["95 %"], row["needed, dB"], f"{row['SSIM']:.3f}")
        made.add_row(row["task"], *numbers, *rest, Text(row["gates"], colour))
    return made


def _artifact(client: SyncPrefectClient, run: UUID, key: str) -> str | None:
    found = client.read_artifacts(
        artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])),
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])),
        sort=ArtifactSort.CREATED_DESC,
        limit=1,
        offset=0,
    )
    return str(found[0].data) if found else None
