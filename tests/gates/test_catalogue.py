"""A gate is one file: what is registered decides, and is in every table."""

import pytest

from drdd.gates.catalogue import RUN_GATES, TASK_GATES
from drdd.gates.gate import TaskEvidence, TaskGate, Verdict
from drdd.report import card
from drdd.report.tables import gate_rows
from drdd.report.wording import verdict
from flows import artifacts
from tests.conftest import ROOT
from tests.report.judged import ROWS, judged


def _no_task_below_30_db(evidence: TaskEvidence, bound: float) -> Verdict:
    psnr = evidence.result.output["psnr_rgb"]
    return Verdict(psnr, psnr >= bound, f"{evidence.task} has {psnr:.1f} dB of {bound:.1f}")


TOY = TaskGate(
    name="min_psnr",
    label="PSNR",
    bound="at least",
    unit="dB",
    missed="dark",
    judge=_no_task_below_30_db,
)


def test_a_gate_is_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is registered decides, and is in every table; the bound comes from the section that it names."""
    monkeypatch.setitem(TASK_GATES, TOY.name, TOY)
    metrics = judged(ROWS, rain={TOY.name: 30.0}, haze={TOY.name: 10.0})
    assert [(g.gate, g.task, g.passed) for g in metrics.gates][2:] == [
        (TOY.name, "haze", True),
        (TOY.name, "rain", False),
    ]
    assert metrics.passed is False
    assert metrics.missed == ["rain has 26.5 dB of 30.0"]
    assert (verdict(metrics, "rain"), verdict(metrics, "haze")) == ("dark", "passed")
    rows = gate_rows(metrics.gates)
    assert (rows[0]["name"], rows[0]["needed"]) == ("PSNR", "at least 30.00 dB")
    terminal = artifacts._gates(metrics)[-1]
    assert terminal == {
        "gate": TOY.name,
        "task": "rain",
        "verdict": "missed",
        "said": rows[0]["said"],
    }
    assert "- missed: rain has 26.5 dB of 30.0" in "\n".join(card._gates(metrics))
    unset = judged(ROWS, rain={TOY.name: None}, haze={TOY.name: None})
    assert TOY.name not in {gate.gate for gate in unset.gates}


@pytest.mark.parametrize("name", [*TASK_GATES, *RUN_GATES])
def test_every_gate_has_a_row_in_the_docs(name: str) -> None:
    section = f"tasks.NAME.{name}" if name in TASK_GATES else f"gates.{name}"
    assert f"| `{section}` |" in (ROOT / "docs/evaluation.md").read_text()
