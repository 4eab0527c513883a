"""What a model must gain over a task's reference, and what becomes of tasks without one."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drdd.errors import UserError
from drdd.gates import min_gain_over_reference
from drdd.gates.judgement import GateResult, Judgement
from drdd.params import read, validate
from drdd.report.judgement import headline
from drdd.report.wording import verdict
from tests.conftest import ROOT
from tests.report.judged import ROWS, judged, with_reference

NAME = min_gain_over_reference.GATE.name
RAIN = [with_reference(ROWS[0], 21.0), with_reference(ROWS[1], 31.5)]  # mean 26.25; output: 26.5
OPENING = {"reference": "opening", NAME: 0.0}


def _gates(metrics: Judgement) -> list[GateResult]:
    return [gate for gate in metrics.gates if gate.gate == NAME]


def test_the_mean_of_the_output_must_reach_that_of_the_reference() -> None:
    metrics = judged([*RAIN, *ROWS[2:]], rain=OPENING)
    rain = metrics.tasks["rain"]
    assert (rain.reference_name, rain.reference["psnr_rgb"]) == ("opening", 26.25)
    assert rain.over_reference("psnr_rgb") == 0.25
    (gate,) = _gates(metrics)
    assert (gate.task, gate.value, gate.passed) == ("rain", 0.25, True)
    assert gate.said == "rain is 0.25 dB above opening (at least +0.00 needed)"
    missed = judged([*RAIN, *ROWS[2:]], rain=OPENING | {NAME: 0.5})
    assert missed.missed == ["rain is 0.25 dB above opening (at least +0.50 needed)"]
    assert verdict(missed, "rain") == "below reference"


def test_a_model_below_the_reference_is_said_to_be() -> None:
    rows = [with_reference(row, 30.0) for row in ROWS[:2]]
    metrics = judged(rows, rain=OPENING | {"reference": "dark_channel"})
    assert metrics.missed == ["rain is 3.50 dB below dark channel (at least +0.00 needed)"]


def test_null_switches_the_gate_off_and_keeps_the_column() -> None:
    metrics = judged(RAIN, rain=OPENING | {NAME: None})
    assert _gates(metrics) == []
    assert metrics.tasks["rain"].reference["psnr_rgb"] == 26.25


def test_a_task_without_a_reference_has_no_gate_no_values_and_no_part_in_a_mean() -> None:
    metrics = judged([*RAIN, *ROWS[2:]], rain=OPENING, haze={NAME: 0.0})
    haze = metrics.tasks["haze"]
    assert (haze.reference, haze.reference_name, haze.over_reference("psnr_rgb")) == (
        {},
        None,
        None,
    )
    assert [gate.task for gate in _gates(metrics)] == ["rain"]
    assert metrics.mean.reference == {}
    assert headline(metrics)["psnr_gain_over_reference"] == {"rain": 0.25}
    both = judged([with_reference(row, 20.0) for row in ROWS], rain=OPENING, haze=OPENING)
    assert both.mean.reference["psnr_rgb"] == 20.0
    assert headline(both)["psnr_gain_over_reference"] == {"haze": -5.0, "rain": 6.5, "mean": 0.75}
    json.dumps(metrics.content(), allow_nan=False)


def test_no_summary_of_references_where_there_are_none() -> None:
    assert set(headline(judged(ROWS))) == {"passed", "psnr_gain", "ssim_gain"}


@pytest.mark.parametrize("row", [ROWS[1], with_reference(ROWS[1], np.nan)])
def test_a_reference_that_was_not_measured_is_an_error(row: dict[str, float]) -> None:
    said = "task rain: no PSNR of b or of what opening makes of it; evaluate again"
    with pytest.raises(UserError, match=said):
        judged([RAIN[0], row], rain=OPENING)


@given(st.integers(-400_000, 400_000), st.integers(-400_000, 400_000))
def test_a_gain_looks_enough_only_where_it_is(gain: int, least: int) -> None:
    """In steps of 1e-4 dB, as metrics.json has them."""
    said = min_gain_over_reference.in_words("rain", gain / 1e4, "opening", least / 1e4)
    needed = float(said.split("at least ")[1].split()[0])
    shown = float(said.split()[2]) if " dB " in said else 0.0
    assert ((-shown if "below" in said else shown) >= needed) is (gain >= least)


@pytest.mark.parametrize("bound", [1.0, -0.5])
def test_a_bound_that_nothing_could_miss_is_refused(bound: float) -> None:
    """A task without reference keeps the default, but not a bound that somebody wrote."""
    content = read(ROOT / "params.yaml")
    content["tasks"]["rain"] |= {"reference": "none", NAME: 0.0}
    assert validate(content).tasks["rain"].reference_name() is None
    content["tasks"]["rain"][NAME] = bound
    said = rf"tasks.rain: min_gain_over_reference is {bound:g}, but the task has no reference; name one"
    with pytest.raises(UserError, match=said):
        validate(content)
