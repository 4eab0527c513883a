"""Numbers as a report shows them: signs, directions, intervals, and who is compared with whom."""

import io
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from drdd.gates.judgement import Comparison, Ends, Intervals, TaskResult
from drdd.metrics.catalogue import METRICS, PSNR, PictureMetric, Score
from drdd.metrics.quantity import MINUS, NONE
from drdd.registry import tables
from drdd.report import card
from drdd.report.judgement import headline
from drdd.report.report import write_report
from drdd.report.tables import (
    baseline,
    champion_row,
    gate_rows,
    metric_rows,
    output_means,
    with_gains,
)
from tests.report.findings import PICTURES, findings, metrics, scores


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
    ends: dict[str, Ends] = {metric: (interval[0], interval[1])} if interval else {}
    task = TaskResult(
        images=2,
        input={metric: 5.0},
        output={metric: 5.0 + gain},
        gain={metric: gain},
        intervals=Intervals(gain=ends),
    )
    (row,) = metric_rows(task, {})
    assert row.verdict == verdict
    assert row.champion == NONE


def test_metrics_of_pictures_and_of_sets_stand_in_one_order() -> None:
    task = metrics().tasks["haze"]
    rows = metric_rows(task, {"psnr_rgb": 21.5})
    names = [row.metric.label for row in rows]
    assert names == [METRICS[m].label for m in METRICS if m not in ("lpips", "fid", "kid")]
    assert rows[0].champion == "21.50"
    assert rows[-1].change == f"{MINUS}15.00"
    assert rows[-1].verdict == "better"


def test_missed_gates_come_first() -> None:
    rows = gate_rows(metrics().gates)
    assert [row["passed"] for row in rows] == [False, True, True]
    assert rows[-1]["value"] == NONE
    assert rows[-1]["unit"] == ""


def test_a_drop_is_shown_as_a_change_of_this_version() -> None:
    row = champion_row(Comparison(allowance=0.2, verdict="fell", drop=0.5, interval=(0.25, 1.0)))
    assert row["change"] == f"{MINUS}0.50"
    assert row["interval"] == f"{MINUS}1.00 to {MINUS}0.25"
    assert champion_row(Comparison(allowance=0.2, verdict="new"))["change"] == NONE


def test_the_champion_stands_beside_ours_only_where_it_was_compared() -> None:
    ours, told = scores(), metrics()
    other = Comparison(allowance=0.2, verdict="protocol changed, not compared")
    low_light = told.tasks["low_light"].model_copy(update={"champion": other})
    told = told.model_copy(update={"tasks": {**told.tasks, "low_light": low_light}})
    strange = scores(-0.5).assign(input_id=lambda rows: rows["input_id"].replace("in 0", "other"))
    theirs = baseline(told, ours, pd.concat([strange, strange]))
    assert list(theirs["task"]) == ["haze"] * (PICTURES - 1)
    gained = with_gains(ours, theirs)
    assert list(gained["gain"]) == list(ours["output_psnr_rgb"] - ours["input_psnr_rgb"])
    beside = gained["champion_gain"].notna()
    assert beside.sum() == PICTURES - 1
    assert (gained["gain"] - gained["champion_gain"])[beside].tolist() == [0.5] * (PICTURES - 1)
    assert output_means(theirs)["psnr_rgb"] == pytest.approx(22.5 - 0.5)


def test_without_a_champion_nothing_stands_beside() -> None:
    theirs = baseline(metrics(None), scores(), None)
    assert output_means(theirs) == {}
    assert with_gains(scores(), theirs)["champion_gain"].isna().all()


def test_a_metric_is_in_every_table_by_its_entry(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Report, list of pictures, summary, card and what `drdd models show` prints."""
    toy = PictureMetric(
        name="toy",
        label="Toy",
        unit="m",
        digits=1,
        lower=True,
        protocol="",
        load=_unused,
        summary="toy",
    )
    monkeypatch.setitem(METRICS, "toy", toy)
    told = findings()
    results = {
        task: result.model_copy(
            update={
                "input": {**result.input, "toy": 4.0},
                "output": {**result.output, "toy": 2.5},
                "gain": {**result.gain, "toy": -1.5},
            }
        )
        for task, result in told.metrics.tasks.items()
    }
    gains = {**told.metrics.mean.gain, "toy": -1.5}
    mean = told.metrics.mean.model_copy(update={"gain": gains})
    judged = told.metrics.model_copy(update={"tasks": results, "mean": mean})
    shown = told.scores.assign(input_toy=4.0, reference_toy=3.0, output_toy=2.5)
    write_report(tmp_path / "report.html", replace(told, metrics=judged, scores=shown))
    page = (tmp_path / "report.html").read_text()
    assert f"<b>{MINUS}1.5 <small>m</small></b><span>Toy \N{DOWNWARDS ARROW}</span>" in page
    assert "<button>Toy, in</button>" in page
    assert "<td>3.0</td>" in page
    assert headline(judged)["toy"] == {"haze": -1.5, "low_light": -1.5, "mean": -1.5}
    row = f"| haze | {PICTURES} | Toy (m) \N{DOWNWARDS ARROW} | 4.0 |  | 2.5 | {MINUS}1.5 |  |"
    assert row in card._quality(judged)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(tables._metrics(judged))
    assert "Toy (m) \N{DOWNWARDS ARROW}" in console.export_text()


def _unused(_: Path | None) -> Score:
    raise AssertionError("who only shows a metric must not load it")
