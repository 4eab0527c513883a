"""What `drdd run` shows at its end: a gate that was missed, and why."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from rich.console import Console

from flows import artifacts
from flows.summary import summary
from tests.project import tiny_params, write_params

SCORES = {"psnr_rgb": 20.0, "ssim_rgb": 0.5}
ROW = {"input": SCORES, "output": SCORES, "gain": SCORES, "images": 4, "gated": True}
ROW |= {"intervals": {"gain": {"psnr_rgb": [18.5, 21.25]}}, "champion": None}
FELL = "rain fell 0.83 dB below 1a2b3c4d5e6f (allowance 0.50)"
GAIN = {"gate": "min_psnr_gain", "task": "rain", "needed": 1.5, "passed": True, "said": "enough"}
DROP = {"gate": "max_drop_vs_champion", "task": "rain", "needed": 0.5, "passed": False}


def _metrics(*gates: dict[str, Any], **row: Any) -> dict[str, Any]:
    return {
        "tasks": {"rain": ROW | row},
        "gates": list(gates),
        "passed": all(gate["passed"] for gate in gates),
    }


def _shown(root: Path, promoted: bool, *gates: dict[str, Any], **row: Any) -> tuple[str, str]:
    (root / "results").mkdir(exist_ok=True)
    write_params(root, tiny_params())
    published = {
        "version": "0123456789ab",
        "uri": "published/versions/0123456789ab",
        "alias": "champion",
        "promoted": promoted,
        "missed": [] if promoted else [FELL],
        "notes": ["haze of 1a2b3c4d5e6f is gone"],
    }
    (root / "results/published.json").write_text(json.dumps(published))
    (root / "results/metrics.json").write_text(json.dumps(_metrics(*gates, **row)))
    table, places = summary(root, FlowRun(flow_id=uuid4()), 8000)
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    return capture.get(), places


def test_a_task_that_fell_is_marked_and_the_reason_is_said(tmp_path: Path) -> None:
    table, places = _shown(tmp_path, False, GAIN, DROP | {"said": FELL})
    assert "fell" in table
    assert FELL in places
    assert "gate missed, alias champion not moved" in places
    assert "left as it was" in places


def test_a_promoted_model_has_its_alias_and_service(tmp_path: Path) -> None:
    table, places = _shown(tmp_path, True, GAIN)
    assert "passed" in table
    assert "(alias champion)" in places
    assert "haze of 1a2b3c4d5e6f is gone" in places
    assert "http://127.0.0.1:8000" in places


@pytest.mark.parametrize(
    ("gate", "row", "word"),
    [({"passed": False}, {}, "missed"), ({}, {"gated": False}, "not gated"), ({}, {}, "passed")],
)
def test_every_gate_has_its_word(
    tmp_path: Path, gate: dict[str, Any], row: dict[str, Any], word: str
) -> None:
    table, _ = _shown(tmp_path, True, GAIN | gate, **row)
    assert word in table
    assert "+1.50" in table


def test_the_flow_s_artifacts_have_every_verdict() -> None:
    metrics = _metrics(GAIN, DROP | {"said": FELL})
    (row,) = artifacts._rows(metrics)
    assert (row["gates"], row["gain"], row["95 %"]) == ("fell", "+20.00 dB", "+18.50 to +21.25")
    verdicts = [(gate["gate"], gate["verdict"], gate["said"]) for gate in artifacts._gates(metrics)]
    assert verdicts == [
        ("min_psnr_gain", "passed", "enough"),
        ("max_drop_vs_champion", "missed", FELL),
    ]
