"""Numbers as a report shows them: signs, directions, intervals, and who is compared with whom."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drdd.report.tables import (
    METRICS,
    MINUS,
    NONE,
    PSNR,
    champion_row,
    gate_rows,
    metric_rows,
    output_means,
    rival,
    with_gains,
)
from tests.report.findings import PICTURES, metrics, scores


@given(st.floats(-1e6, 1e6))
def test_a_change_shows_its_sign_unless_it_rounds_to_nothing(value: float) -> None:
    text = PSNR.change(value)
    number = float(text.replace(MINUS, "-"))
    assert number == pytest.approx(value, abs=0.00501)
    assert text[0] == ("+" if number > 0 else MINUS if number < 0 else "0")


def test_what_has_no_value_is_a_dash() -> None:
    for nothing in (None, float("nan"), float("inf")):
        assert PSNR.value(nothing) == PSNR.change(nothing) == NONE
    assert PSNR.interval(None) == ""


@pytest.mark.parametrize(
    ("metric", "gain", "interval", "verdict"),
    [
        ("psnr_rgb", 1.0, [0.5, 1.5], "better"),
        ("psnr_rgb", -1.0, [-1.5, -0.5], "worse"),
        ("psnr_rgb", 1.0, [-0.5, 2.5], ""),
        ("psnr_rgb", 0.001, None, ""),
        ("niqe", -1.0, [-1.5, -0.5], "better"),
        ("niqe", 1.0, None, "worse"),
    ],
)
def test_better_and_worse_follow_the_metric_and_its_interval(
    metric: str, gain: float, interval: list[float] | None, verdict: str
) -> None:
    task = {
        "input": {metric: 5.0},
        "output": {metric: 5.0 + gain},
        "gain": {metric: gain},
        "intervals": {"output": {}, "gain": {metric: interval} if interval else {}},
    }
    (row,) = metric_rows(task, {})
    assert row.verdict == verdict
    assert row.champion == NONE


def test_metrics_of_pictures_and_of_sets_stand_in_one_order() -> None:
    task = metrics()["tasks"]["haze"]
    rows = metric_rows(task, {"psnr_rgb": 21.5})
    names = [row.metric.name for row in rows]
    assert names == [METRICS[m].name for m in METRICS if m not in ("lpips", "fid", "kid")]
    assert rows[0].champion == "21.50"
    assert rows[-1].change == f"{MINUS}15.00"
    assert rows[-1].verdict == "better"


def test_missed_gates_come_first() -> None:
    rows = gate_rows(metrics()["gates"])
    assert [row["passed"] for row in rows] == [False, True, True]
    assert rows[-1]["value"] == NONE
    assert rows[-1]["unit"] == ""


def test_a_drop_is_shown_as_a_change_of_this_version() -> None:
    row = champion_row({"verdict": "fell", "drop": 0.5, "interval": [0.25, 1.0]})
    assert row["change"] == f"{MINUS}0.50"
    assert row["interval"] == f"{MINUS}1.00 to {MINUS}0.25"
    assert champion_row({"verdict": "new", "drop": None, "interval": None})["change"] == NONE


def test_the_champion_stands_beside_ours_only_where_it_was_compared() -> None:
    ours, told = scores(), metrics()
    told["tasks"]["low_light"]["champion"]["verdict"] = "protocol changed, not compared"
    strange = scores(-0.5).assign(input_id=lambda rows: rows["input_id"].replace("in 0", "other"))
    theirs = rival(told, ours, pd.concat([strange, strange]))
    assert list(theirs["task"]) == ["haze"] * (PICTURES - 1)
    gained = with_gains(ours, theirs)
    assert list(gained["gain"]) == list(ours["output_psnr_rgb"] - ours["input_psnr_rgb"])
    beside = gained["champion_gain"].notna()
    assert beside.sum() == PICTURES - 1
    assert (gained["gain"] - gained["champion_gain"])[beside].tolist() == [0.5] * (PICTURES - 1)
    assert output_means(theirs)["psnr_rgb"] == pytest.approx(22.5 - 0.5)


def test_without_a_champion_nothing_stands_beside() -> None:
    theirs = rival(metrics(None), scores(), None)
    assert output_means(theirs) == {}
    assert with_gains(scores(), theirs)["champion_gain"].isna().all()
