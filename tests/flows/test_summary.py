"""What a run leaves in Prefect, and what `drdd run` shows of it."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from rich.console import Console

from drdd.gates.judgement import Judgement
from flows import artifacts
from flows.summary import places, table

SCORES = {"psnr_rgb": 20.0, "ssim_rgb": 0.5}
ROW = {"input": SCORES, "output": SCORES, "gain": SCORES, "images": 4, "gated": True}
ROW |= {"intervals": {"gain": {"psnr_rgb": [18.5, 21.25]}}, "champion": None}
FELL = "rain fell 0.83 dB below 1a2b3c4d5e6f (allowance 0.50)"
GAIN = {"gate": "min_psnr_gain", "task": "rain", "needed": 1.5, "passed": True, "said": "enough"}
DROP = {"gate": "max_drop_vs_champion", "task": "rain", "needed": 0.5, "passed": False}


def _metrics(*gates: dict[str, Any], **row: Any) -> Judgement:
    content = {"tasks": {"rain": ROW | row}, "gates": gates}
    return Judgement.model_validate(content | {"passed": all(gate["passed"] for gate in gates)})


def _shown(rows: list[dict[str, Any]]) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table(rows))
    return capture.get()


def test_every_verdict_is_in_the_tables() -> None:
    metrics = _metrics(GAIN, DROP | {"said": FELL})
    (row,) = artifacts._rows(metrics)
    assert (row["gates"], row["gain, dB"], row["95 %"]) == ("fell", 20.0, "+18.50 to +21.25")
    verdicts = [(gate["gate"], gate["verdict"], gate["said"]) for gate in artifacts._gates(metrics)]
    assert verdicts == [
        ("min_psnr_gain", "passed", "enough"),
        ("max_drop_vs_champion", "missed", FELL),
    ]


def test_a_reference_is_a_column_and_empty_where_a_task_has_none() -> None:
    (row,) = artifacts._rows(_metrics(reference={"psnr_rgb": 18.25, "ssim_rgb": 0.25}))
    assert (row["PSNR of the reference, dB"], row["SSIM of the reference"]) == (18.25, 0.25)
    assert "18.25" in _shown([row])
    (without,) = artifacts._rows(_metrics())
    assert without["PSNR of the reference, dB"] is None
    assert "None" not in _shown([without])


@pytest.mark.parametrize(
    ("gate", "row", "word"),
    [({"passed": False}, {}, "missed"), ({}, {"gated": False}, "not gated"), ({}, {}, "passed")],
)
def test_every_gate_has_its_word_on_the_terminal(
    gate: dict[str, Any], row: dict[str, Any], word: str
) -> None:
    shown = _shown(artifacts._rows(_metrics(GAIN | gate, **row)))
    assert word in shown
    assert "+1.50" in shown


class _Kept:
    """What was created, instead of a server; and the client that reads it back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.markdown: dict[str, str] = {}
        monkeypatch.setattr(artifacts, "create_markdown_artifact", self._create)

    def _create(self, markdown: str, key: str, **_: object) -> None:
        self.markdown[key] = markdown

    def read_artifacts(self, **asked: Any) -> list[Any]:
        (key,) = asked["artifact_filter"].key.any_
        return [type("Artifact", (), {"data": self.markdown[key]})]


def test_the_places_of_a_run_are_said_as_they_are(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = _Kept(monkeypatch)
    Path("results").mkdir()
    Path("results/report.html").touch()
    published = {
        "uri": "s3://bucket/versions/0123456789ab",
        "alias": "champion",
        "promoted": False,
        "missed": [FELL],
        "notes": ["haze of 1a2b3c4d5e6f is gone"],
    }
    Path("results/published.json").write_text(json.dumps(published))
    artifacts.links(workspace, "brave-otter", ["service: left as it is"])
    said = places(kept, uuid4())  # type: ignore[arg-type]
    assert said[0] == f"report: {workspace.resolve()}/results/report.html"
    assert "model: s3://bucket/versions/0123456789ab" in said
    assert "alias champion: not moved" in said
    assert FELL in said
    assert "experiment: brave-otter (dvc exp show, dvc exp apply brave-otter)" in said
    assert said[-1] == "service: left as it is"


def test_a_failure_carries_the_last_lines_and_what_may_help(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = _Kept(monkeypatch)
    artifacts.failure("evaluate", "it broke", "Do this.", ["one <b>", "two"])
    text = kept.markdown["failure"]
    assert "one &lt;b&gt;\ntwo" in text
    assert text.index("it broke") < text.index("two") < text.index("Do this.")
