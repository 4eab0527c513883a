"""Means, intervals, gates and the comparison from rows whose answer is known; a hole is a failure."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from drdd.errors import UserError
from drdd.gates.catalogue import TASK_GATES
from drdd.gates.gate import RunEvidence, TaskEvidence, TaskGate, Verdict
from drdd.gates.judgement import Comparison, Judgement, TaskResult
from drdd.registry import card
from drdd.report.comparison import ChampionRecord
from drdd.report.judgement import Expected, headline, held_out_digest, judgement
from drdd.report.tables import gate_rows
from drdd.report.wording import against_champion, needed, outcome, verdict
from flows import artifacts

METRICS = ("psnr_rgb", "psnr_y", "ssim_rgb", "ssim_y", "ms_ssim")
MEASURED = {"protocol": {"crop_border": 0}, "not_computed": {"lpips": "no file"}, "tasks": {}}
ID = "1a2b3c4d5e6f"


def _row(task: str, image: str, before: float, after: float, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"task": task, "image": image, "seconds": 0.5}
    row |= {"input_id": f"{task}-{image}", "target_id": image}
    row |= {f"input_{metric}": before for metric in METRICS}
    return row | {f"output_{metric}": after for metric in METRICS} | more


ROWS = [
    _row("rain", "a", 20.0, 22.0),
    _row("rain", "b", 30.0, 31.0),
    _row("haze", "a", 10.0, 16.0),
    _row("haze", "b", 12.0, 14.0),
]


def _judged(
    rows: list[dict[str, Any]],
    champion: ChampionRecord | None = None,
    latency: tuple[float, float | None] = (0.5, None),
    **changes: dict[str, Any],
) -> Judgement:
    """changes: of the expectation of a task; images: instead of a and b."""
    gains = {"rain": 1.5, "haze": 3.0}
    tasks = {row["task"] for row in rows}
    expected = {}
    for task in tasks:
        change = dict(changes.get(task, {}))
        images = change.pop("images", ["a", "b"])
        gated = change.pop("gated", True)
        bounds = {"min_psnr_gain": gains.get(task, 0.0), "max_drop_vs_champion": 0.5} | change
        pairs = [(f"{task}-{name}", name) for name in images]
        expected[task] = Expected(pairs, bounds, gated)
    p95, most = latency
    run, bounds = RunEvidence(p95), {"max_latency_p95": most}
    return judgement(pd.DataFrame(rows), MEASURED, expected, champion, run, bounds)


def _champion(rows: list[dict[str, Any]], **metrics: Any) -> ChampionRecord:
    result = TaskResult(images=2, input={}, output={}, gain={})
    content = {"tasks": {row["task"]: result for row in rows}, "passed": True}
    content |= {"protocol": {"crop_border": 0}} | metrics
    return ChampionRecord(ID, Judgement.model_validate(content), pd.DataFrame(rows))


def _compared(metrics: Judgement, task: str) -> Comparison:
    found = metrics.tasks[task].champion
    assert found is not None
    return found


def test_means_gains_and_gates() -> None:
    metrics = _judged(ROWS)
    rain = metrics.tasks["rain"]
    assert rain.input["psnr_rgb"] == 25.0
    assert rain.gain["psnr_rgb"] == 1.5
    assert metrics.tasks["haze"].gain["ssim_y"] == 4.0
    assert metrics.mean.gain["psnr_rgb"] == 2.75
    assert metrics.passed is True
    assert [(g.gate, g.task, g.passed) for g in metrics.gates] == [
        ("min_psnr_gain", "haze", True),
        ("min_psnr_gain", "rain", True),
    ]
    ends = rain.intervals.gain["psnr_rgb"]
    assert ends is not None
    assert ends[0] < 1.5 < ends[1]
    assert (metrics.against, metrics.notes, rain.champion) == (None, [], None)
    json.dumps(metrics.content(), allow_nan=False)


def test_one_missed_gate_fails_the_whole_and_is_said() -> None:
    metrics = _judged(ROWS, rain={"min_psnr_gain": 1.51})
    assert metrics.passed is False
    assert metrics.missed == ["rain gained 1.50 dB of the 1.51 needed"]
    assert (verdict(metrics, "rain"), verdict(metrics, "haze")) == ("missed", "passed")
    assert needed(metrics, "rain") == "+1.51"
    said = outcome(metrics, "champion", metrics.missed)
    assert said == f"gate missed: {metrics.missed[0]}, alias champion not moved"


def test_a_metric_that_a_picture_is_too_small_for_is_a_mean_of_the_others() -> None:
    rows = [*ROWS[:1], ROWS[1] | {"input_ms_ssim": np.nan, "output_ms_ssim": np.nan}]
    metrics = _judged(rows).tasks["rain"]
    assert metrics.output["ms_ssim"] == 22.0
    assert metrics.intervals.output["ms_ssim"] is None
    none = [row | {"input_ms_ssim": np.nan, "output_ms_ssim": np.nan} for row in rows]
    without = _judged(none)
    assert "ms_ssim" not in without.tasks["rain"].output
    json.dumps(without.content(), allow_nan=False)


def test_a_gain_is_of_the_pictures_that_have_both_values() -> None:
    """Where the input of a has no value, the output of a must not count either."""
    metrics = _judged([ROWS[0] | {"input_ms_ssim": np.nan}, ROWS[1]])
    rain = metrics.tasks["rain"]
    assert [getattr(rain, part)["ms_ssim"] for part in ("input", "output", "gain")] == [
        30.0,
        31.0,
        1.0,
    ]
    assert metrics.notes == ["rain: ms_ssim has a value for 1 of 2 pictures"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_picture_without_psnr_is_a_hole(value: float) -> None:
    with pytest.raises(UserError, match="task rain: no PSNR of a; evaluate again"):
        _judged([ROWS[0] | {"output_psnr_rgb": value}, ROWS[1]])


def test_one_picture_has_no_interval_and_that_is_said() -> None:
    metrics = _judged(ROWS[:1], rain={"images": ["a"]})
    assert metrics.tasks["rain"].intervals.gain["psnr_rgb"] is None
    assert "one held-out picture" in metrics.notes[0]


def test_words_do_not_contradict_the_verdict() -> None:
    close = _judged(ROWS[:2], rain={"min_psnr_gain": 1.501})
    assert close.missed == ["rain gained 1.5000 dB of the 1.5010 needed"]
    for then in (26.5, 26.501, 26.499):
        before = [_row("rain", "a", 0, then - 4.5), _row("rain", "b", 0, then + 4.5)]
        metrics = _judged(ROWS[:2], _champion(before))
        assert metrics.gates[1].said == f"rain is level with {ID} (allowance 0.50)"
        assert against_champion(metrics, "rain") == "+0.00 dB (+0.00 to +0.00)"
        assert "-0.0," not in json.dumps(metrics.content())


def test_the_champions_table_may_be_old_or_hold_a_pair_twice() -> None:
    same = [_row("rain", "a", 0, 22.0), _row("rain", "b", 0, 31.0)]
    twice = _compared(_judged(ROWS[:2], _champion([*same, same[0]])), "rain")
    assert (twice.images, twice.drop) == (2, 0.0)
    old = _champion([{"task": "rain", "image": "a", "output_psnr_rgb": 90.0}])
    assert _judged(ROWS[:2], old).notes == ["rain: its table has no picture ids, not compared"]
    hole = _champion([same[0], same[1] | {"output_psnr_rgb": np.nan}])
    assert _compared(_judged(ROWS[:2], hole), "rain").images == 1


def test_only_what_psnr_depends_on_makes_a_protocol_another() -> None:
    same = [_row("rain", "a", 0, 22.0), _row("rain", "b", 0, 31.0)]
    for name, verdict_ in (
        ("lpips", "kept"),
        ("psnr_cap_db", "metrics protocol changed, not compared"),
    ):
        champion = _champion(same, protocol={"crop_border": 0, name: "other"})
        assert _compared(_judged(ROWS[:2], champion), "rain").verdict == verdict_


def test_a_task_of_unaligned_pairs_has_no_gate_and_no_part_in_the_mean() -> None:
    worse = [_row("cats", "a", 10.0, 4.0), _row("cats", "b", 12.0, 4.0)]
    metrics = _judged([*ROWS[:2], *worse], cats={"gated": False})
    assert metrics.tasks["cats"].gain["psnr_rgb"] == -7.0
    assert metrics.mean.gain["psnr_rgb"] == 1.5
    assert metrics.passed is True
    assert (verdict(metrics, "cats"), needed(metrics, "cats")) == ("not gated", "none")
    alone = _judged(worse, cats={"gated": False})
    assert alone.mean.gain["psnr_rgb"] == -7.0
    against = _judged(worse, _champion([_row("cats", "a", 0, 90), _row("cats", "b", 0, 90)]),
                      cats={"gated": False})  # fmt: skip
    assert _compared(against, "cats").verdict == "not gated"
    assert against.passed is True


@pytest.mark.parametrize(("then", "kept"), [(26.0, True), (27.0, True), (27.01, False)])
def test_a_drop_within_the_allowance_is_kept(then: float, kept: bool) -> None:
    before = [_row("rain", "a", 0, then - 5), _row("rain", "b", 0, then + 5)]
    metrics = _judged(ROWS[:2], _champion(before))
    found = _compared(metrics, "rain")
    assert found.verdict == ("kept" if kept else "fell")
    assert (found.before, found.after) == (then, 26.5)
    assert found.drop == pytest.approx(then - 26.5)
    assert found.interval is not None
    assert found.interval[0] <= then - 26.5 <= found.interval[1]
    assert metrics.passed is kept
    assert metrics.against == ID
    assert verdict(metrics, "rain") == ("passed" if kept else "fell")
    if not kept:
        assert metrics.missed == [f"rain fell 0.51 dB below {ID} (allowance 0.50)"]
    assert against_champion(metrics, "rain").startswith(f"{26.5 - then:+.2f} dB (")


def test_the_comparison_is_picture_by_picture() -> None:
    """The same mean drop is certain where every picture lost as much, and not where they differ."""
    even = [_row("rain", "a", 0, 22.3), _row("rain", "b", 0, 31.3)]
    uneven = [_row("rain", "a", 0, 32.6), _row("rain", "b", 0, 21.0)]
    spans = []
    for rows in (even, uneven):
        found = _compared(_judged(ROWS[:2], _champion(rows)), "rain")
        assert found.drop == pytest.approx(0.3)
        assert found.interval is not None
        spans.append(found.interval[1] - found.interval[0])
    assert spans[0] == 0
    assert spans[1] > 5


def test_only_common_pictures_are_compared_and_too_few_are_not() -> None:
    changed = [_row("rain", "a", 0, 22.0), _row("rain", "z", 0, 99.0)]
    metrics = _judged(ROWS[:2], _champion(changed))
    assert _compared(metrics, "rain").drop == 0
    said = "rain: compared on 1 of 2 pictures, which both restored"
    assert metrics.notes == [said]
    assert outcome(metrics, "champion", []) == f"alias champion moved; {said}"
    other = _judged(ROWS[:2], _champion([_row("rain", "z", 0, 99.0)]))
    assert other.notes == ["rain: held-out pictures changed, not compared"]
    assert other.passed is True


def test_what_cannot_be_compared_is_said_and_fails_nothing() -> None:
    better = [_row("rain", "a", 0, 90.0), _row("rain", "b", 0, 90.0)]
    metrics = _judged(ROWS[:2], _champion(better, protocol={"crop_border": 4}))
    assert metrics.notes == ["rain: metrics protocol changed, not compared"]
    assert metrics.passed is True
    assert against_champion(metrics, "rain") == "metrics protocol changed, not compared"
    bare = _judged(ROWS[:2], ChampionRecord(ID, None, None))
    assert bare.notes == ["rain: not evaluated, not compared"]
    gone = _judged(ROWS[2:], _champion([*ROWS[:2], *ROWS[2:]]))
    assert gone.notes == [f"rain of {ID} is gone"]
    new = _judged(ROWS, _champion(ROWS[:2]))
    assert _compared(new, "haze").verdict == "new"
    assert new.notes == []


def test_latency_is_a_verdict_and_no_number() -> None:
    for p95, passed in ((0.9, True), (1.1, False)):
        metrics = _judged(ROWS, latency=(p95, 1.0))
        (gate,) = [g for g in metrics.gates if g.gate == "max_latency_p95"]
        assert (gate.passed, gate.value, metrics.passed) == (passed, None, passed)
        assert str(p95) not in json.dumps(metrics.content())


def test_the_order_of_rows_changes_nothing() -> None:
    champion = _champion(ROWS)
    assert _judged(ROWS, champion) == _judged(ROWS[::-1], champion)


def test_a_missing_a_double_and_a_strange_image_are_named() -> None:
    with pytest.raises(UserError, match="task rain: missing: rain-b"):
        _judged([ROWS[0], *ROWS[2:]])
    with pytest.raises(UserError, match="task haze: twice, or not held out: a"):
        _judged([*ROWS, ROWS[2]])
    with pytest.raises(UserError, match="task haze: twice, or not held out: c"):
        _judged([*ROWS, _row("haze", "c", 1.0, 2.0)])


def test_the_digest_is_of_the_pairs_whatever_their_order() -> None:
    digest = held_out_digest([("a", "b"), ("c", "b")])
    assert digest == held_out_digest([("c", "b"), ("a", "b")])
    others = [[("a", "b")], [("a", "b"), ("b", "c")], [("b", "a"), ("b", "c")]]
    assert digest not in {held_out_digest(pairs) for pairs in others}


def test_the_headline_has_each_tasks_gain() -> None:
    short = headline(_judged(ROWS))
    assert short["psnr_gain"] == {"haze": 4.0, "rain": 1.5, "mean": 2.75}
    assert short["passed"] is True


def test_a_champion_whose_metrics_cannot_be_read_is_not_compared() -> None:
    metrics = _judged(ROWS[:2], ChampionRecord(ID, None, pd.DataFrame(ROWS[:2])))
    said = "its metrics.json cannot be read, not compared"
    assert (metrics.notes, metrics.passed) == ([f"rain: {said}"], True)
    assert Judgement.of({"tasks": {"rain": {"images": "many"}}, "passed": True}) is None
    assert Judgement.of([]) is None


def test_metrics_json_is_read_back_as_it_was_written() -> None:
    metrics = _judged(ROWS, _champion(ROWS), (0.5, 1.0))
    assert Judgement.of(json.loads(json.dumps(metrics.content()))) == metrics


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
    metrics = _judged(ROWS, rain={TOY.name: 30.0}, haze={TOY.name: 10.0})
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
    unset = _judged(ROWS, rain={TOY.name: None}, haze={TOY.name: None})
    assert TOY.name not in {gate.gate for gate in unset.gates}
