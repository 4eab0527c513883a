"""What `drdd run` shows at its end: a gate that was missed, and why."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from rich.console import Console

from flows.summary import summary
from tests.project import tiny_params, write_params

SCORES = {"psnr_rgb": 20.0, "ssim_rgb": 0.5}
ROW = {"input": SCORES, "output": SCORES, "gain": SCORES, "min_psnr_gain": 1.5, "gated": True}
FELL = "rain fell 0.83 dB below 1a2b3c4d5e6f (allowance 0.50)"


def _shown(root: Path, promoted: bool, verdict: str, **row: Any) -> tuple[str, str]:
    (root / "results").mkdir(exist_ok=True)
    write_params(root, tiny_params())
    published = {
        "version": "0123456789ab",
        "uri": "published/versions/0123456789ab",
        "alias": "champion",
        "promoted": promoted,
        "tasks": {"rain": {"verdict": verdict}},
        "missed": [] if promoted else [FELL],
        "notes": ["haze of 1a2b3c4d5e6f is gone"],
    }
    metrics = {"tasks": {"rain": ROW | {"passed": True} | row}}
    (root / "results/published.json").write_text(json.dumps(published))
    (root / "results/metrics.json").write_text(json.dumps(metrics))
    table, places = summary(root, FlowRun(flow_id=uuid4()), 8000)
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    return capture.get(), places


def test_a_task_that_fell_is_marked_and_the_reason_is_said(tmp_path: Path) -> None:
    table, places = _shown(tmp_path, False, "fell")
    assert "fell" in table
    assert FELL in places
    assert "gate missed, alias champion not moved" in places
    assert "left as it was" in places


def test_a_promoted_model_has_its_alias_and_service(tmp_path: Path) -> None:
    table, places = _shown(tmp_path, True, "kept")
    assert "passed" in table
    assert "(alias champion)" in places
    assert "haze of 1a2b3c4d5e6f is gone" in places
    assert "http://127.0.0.1:8000" in places


@pytest.mark.parametrize(
    ("row", "word"), [({"passed": False}, "missed"), ({"gated": False}, "not gated")]
)
def test_every_gate_has_its_word(tmp_path: Path, row: dict[str, Any], word: str) -> None:
    table, _ = _shown(tmp_path, True, "kept", **row)
    assert word in table
