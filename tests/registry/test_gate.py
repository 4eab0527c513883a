"""The alias moves when every gain is reached and no task fell below the model before."""

import json
from dataclasses import asdict
from typing import Any

import pytest

from drdd.registry.gate import Comparison, gate, outcome
from drdd.registry.registry import Version


def _row(psnr: float, **changes: Any) -> dict[str, Any]:
    return {
        "held_out": "same",
        "output": {"psnr_rgb": psnr},
        "gain": {"psnr_rgb": psnr - 20},
        "min_psnr_gain": 1.0,
        "max_drop_vs_champion": 0.5,
        "gated": True,
        "passed": True,
    } | changes


def _metrics(**tasks: dict[str, Any]) -> dict[str, Any]:
    return {"protocol": {"crop_border": 0}, "tasks": tasks}


def _version(**about: Any) -> Version:
    return Version("1a2b3c4d5e6f", "", "", {}, about)


def _published(**tasks: dict[str, Any]) -> Version:
    return _version(metrics=_metrics(**tasks))


@pytest.mark.parametrize("current", [None, _version(), _published()])
def test_without_a_model_before_the_gains_alone_decide(current: Version | None) -> None:
    verdict = gate(_metrics(rain=_row(24.0)), current)
    assert verdict.passed
    assert verdict.against == (current.id if current else None)
    assert verdict.tasks == {"rain": Comparison("new", None, 24.0, None, 0.5)}
    assert outcome(verdict, "champion") == "alias champion moved"
    short = gate(_metrics(rain=_row(20.5, passed=False), haze=_row(24.0)), current)
    said = "gate missed: rain gained 0.50 dB of the 1.00 needed, alias champion not moved"
    assert outcome(short, "champion") == said


@pytest.mark.parametrize(
    ("after", "verdict", "drop"),
    [(25.0, "kept", -1.0), (24.0, "kept", 0.0), (23.5, "kept", 0.5), (23.4999, "fell", 0.5001)],
)
def test_a_drop_within_the_allowance_is_kept(after: float, verdict: str, drop: float) -> None:
    found = gate(_metrics(rain=_row(after)), _published(rain=_row(24.0)))
    assert asdict(found.tasks["rain"]) == {
        "verdict": verdict,
        "before": 24.0,
        "after": after,
        "drop": drop,
        "allowance": 0.5,
    }
    assert found.passed is (verdict == "kept")


def test_a_task_that_fell_is_said_with_all_else_that_was_missed() -> None:
    now = _metrics(rain=_row(23.17), haze=_row(30.0), noise=_row(20.5, passed=False))
    found = gate(now, _published(rain=_row(24.0), haze=_row(24.0)))
    assert outcome(found, "champion") == (
        "gate missed: noise gained 0.50 dB of the 1.00 needed, "
        "rain fell 0.83 dB below 1a2b3c4d5e6f (allowance 0.50), alias champion not moved"
    )
    json.dumps(asdict(found), allow_nan=False)


def test_the_allowance_is_the_candidates() -> None:
    before = _published(rain=_row(24.0, max_drop_vs_champion=0.0))
    assert gate(_metrics(rain=_row(23.0, max_drop_vs_champion=1.0)), before).passed
    assert not gate(_metrics(rain=_row(23.0, max_drop_vs_champion=0.9)), before).passed


@pytest.mark.parametrize("old", ["other", None])
def test_other_held_out_pictures_are_not_compared(old: str | None) -> None:
    before = _row(40.0, held_out=old)
    if old is None:
        del before["held_out"]
    found = gate(_metrics(rain=_row(24.0)), _published(rain=before))
    assert found.passed
    assert outcome(found, "champion") == (
        "alias champion moved; rain: held-out pictures changed, not compared"
    )
    assert found.tasks["rain"].drop is None


def test_metrics_of_another_protocol_are_not_compared() -> None:
    now = {"protocol": {"crop_border": 4}, "tasks": {"rain": _row(24.0)}}
    found = gate(now, _published(rain=_row(40.0)))
    assert found.passed
    assert found.notes == ("rain: metrics protocol changed, not compared",)


def test_a_task_that_is_gone_is_said_and_fails_nothing() -> None:
    found = gate(_metrics(haze=_row(24.0)), _published(rain=_row(24.0)))
    assert found.passed
    assert found.notes == ("rain of 1a2b3c4d5e6f is gone",)
    assert found.tasks["rain"] == Comparison("gone", 24.0, None, None, None)
    assert found.tasks["haze"].verdict == "new"


def test_a_task_of_unaligned_pairs_may_fall() -> None:
    found = gate(_metrics(cats=_row(4.0, gated=False)), _published(cats=_row(14.0, gated=False)))
    assert found.passed
    assert found.tasks["cats"] == Comparison("not gated", 14.0, 4.0, None, 0.5)
    assert found.notes == ()
