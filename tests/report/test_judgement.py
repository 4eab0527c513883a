"""Means, intervals, gates and the comparison from rows whose answer is known; a hole is a failure."""

import json

import numpy as np
import pandas as pd
import pytest

from drdd.errors import UserError
from drdd.gates.judgement import Judgement
from drdd.report.comparison import ChampionRecord, losses
from drdd.report.judgement import headline, held_out_digest
from drdd.report.wording import against_champion, needed, outcome, verdict
from tests.report.judged import ID, ROWS, champion_of, compared, judged, row


def test_means_gains_and_gates() -> None:
    metrics = judged(ROWS)
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
    metrics = judged(ROWS, rain={"min_psnr_gain": 1.51})
    assert metrics.passed is False
    assert metrics.missed == ["rain gained 1.50 dB of the 1.51 needed"]
    assert (verdict(metrics, "rain"), verdict(metrics, "haze")) == ("missed", "passed")
    assert needed(metrics, "rain") == "+1.51"
    said = outcome(metrics, "champion", metrics.missed)
    assert said == f"gate missed: {metrics.missed[0]}, alias champion not moved"


def test_a_metric_that_a_picture_is_too_small_for_is_a_mean_of_the_others() -> None:
    rows = [*ROWS[:1], ROWS[1] | {"input_ms_ssim": np.nan, "output_ms_ssim": np.nan}]
    metrics = judged(rows).tasks["rain"]
    assert metrics.output["ms_ssim"] == 22.0
    assert metrics.intervals.output["ms_ssim"] is None
    none = [row | {"input_ms_ssim": np.nan, "output_ms_ssim": np.nan} for row in rows]
    without = judged(none)
    assert "ms_ssim" not in without.tasks["rain"].output
    json.dumps(without.content(), allow_nan=False)


def test_a_gain_is_of_the_pictures_that_have_both_values() -> None:
    """Where the input of a has no value, the output of a must not count either."""
    metrics = judged([ROWS[0] | {"input_ms_ssim": np.nan}, ROWS[1]])
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
        judged([ROWS[0] | {"output_psnr_rgb": value}, ROWS[1]])


def test_one_picture_has_no_interval_and_that_is_said() -> None:
    metrics = judged(ROWS[:1], rain={"images": ["a"]})
    assert metrics.tasks["rain"].intervals.gain["psnr_rgb"] is None
    assert "one held-out picture" in metrics.notes[0]


def test_words_do_not_contradict_the_verdict() -> None:
    close = judged(ROWS[:2], rain={"min_psnr_gain": 1.501})
    assert close.missed == ["rain gained 1.5000 dB of the 1.5010 needed"]
    for then in (26.5, 26.501, 26.499):
        before = [row("rain", "a", 0, then - 4.5), row("rain", "b", 0, then + 4.5)]
        metrics = judged(ROWS[:2], champion_of(before))
        assert metrics.gates[1].said == f"rain is level with {ID} (allowance 0.50)"
        assert against_champion(metrics, "rain") == "+0.00 dB (+0.00 to +0.00)"
        assert "-0.0," not in json.dumps(metrics.content())


def test_the_champions_table_may_be_old_or_hold_a_pair_twice() -> None:
    same = [row("rain", "a", 0, 22.0), row("rain", "b", 0, 31.0)]
    twice = compared(judged(ROWS[:2], champion_of([*same, same[0]])), "rain")
    assert (twice.images, twice.drop) == (2, 0.0)
    old = champion_of([{"task": "rain", "image": "a", "output_psnr_rgb": 90.0}])
    assert judged(ROWS[:2], old).notes == ["rain: its table has no picture ids, not compared"]
    hole = champion_of([same[0], same[1] | {"output_psnr_rgb": np.nan}])
    assert compared(judged(ROWS[:2], hole), "rain").images == 1


def test_only_what_psnr_depends_on_makes_a_protocol_another() -> None:
    same = [row("rain", "a", 0, 22.0), row("rain", "b", 0, 31.0)]
    for name, verdict_ in (
        ("lpips", "kept"),
        ("psnr_cap_db", "metrics protocol changed, not compared"),
    ):
        champion = champion_of(same, protocol={"crop_border": 0, name: "other"})
        assert compared(judged(ROWS[:2], champion), "rain").verdict == verdict_


def test_a_task_of_unaligned_pairs_has_no_gate_and_no_part_in_the_mean() -> None:
    worse = [row("cats", "a", 10.0, 4.0), row("cats", "b", 12.0, 4.0)]
    metrics = judged([*ROWS[:2], *worse], cats={"gated": False})
    assert metrics.tasks["cats"].gain["psnr_rgb"] == -7.0
    assert metrics.mean.gain["psnr_rgb"] == 1.5
    assert metrics.passed is True
    assert (verdict(metrics, "cats"), needed(metrics, "cats")) == ("not gated", "none")
    alone = judged(worse, cats={"gated": False})
    assert alone.mean.gain["psnr_rgb"] == -7.0
    against = judged(worse, champion_of([row("cats", "a", 0, 90), row("cats", "b", 0, 90)]),
                      cats={"gated": False})  # fmt: skip
    assert compared(against, "cats").verdict == "not gated"
    assert against.passed is True


@pytest.mark.parametrize(("then", "kept"), [(26.0, True), (27.0, True), (27.01, False)])
def test_a_drop_within_the_allowance_is_kept(then: float, kept: bool) -> None:
    before = [row("rain", "a", 0, then - 5), row("rain", "b", 0, then + 5)]
    metrics = judged(ROWS[:2], champion_of(before))
    found = compared(metrics, "rain")
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
    even = [row("rain", "a", 0, 22.3), row("rain", "b", 0, 31.3)]
    uneven = [row("rain", "a", 0, 32.6), row("rain", "b", 0, 21.0)]
    spans = []
    for rows in (even, uneven):
        found = compared(judged(ROWS[:2], champion_of(rows)), "rain")
        assert found.drop == pytest.approx(0.3)
        assert found.interval is not None
        spans.append(found.interval[1] - found.interval[0])
    assert spans[0] == 0
    assert spans[1] > 5


def test_only_common_pictures_are_compared_and_too_few_are_not() -> None:
    changed = [row("rain", "a", 0, 22.0), row("rain", "z", 0, 99.0)]
    metrics = judged(ROWS[:2], champion_of(changed))
    assert compared(metrics, "rain").drop == 0
    said = "rain: compared on 1 of 2 pictures, which both restored"
    assert metrics.notes == [said]
    assert outcome(metrics, "champion", []) == f"alias champion moved; {said}"
    other = judged(ROWS[:2], champion_of([row("rain", "z", 0, 99.0)]))
    assert other.notes == ["rain: held-out pictures changed, not compared"]
    assert other.passed is True


def test_what_cannot_be_compared_is_said_and_fails_nothing() -> None:
    better = [row("rain", "a", 0, 90.0), row("rain", "b", 0, 90.0)]
    metrics = judged(ROWS[:2], champion_of(better, protocol={"crop_border": 4}))
    assert metrics.notes == ["rain: metrics protocol changed, not compared"]
    assert metrics.passed is True
    assert against_champion(metrics, "rain") == "metrics protocol changed, not compared"
    bare = judged(ROWS[:2], ChampionRecord(ID, None, None))
    assert bare.notes == ["rain: not evaluated, not compared"]
    gone = judged(ROWS[2:], champion_of([*ROWS[:2], *ROWS[2:]]))
    assert gone.notes == [f"rain of {ID} is gone"]
    new = judged(ROWS, champion_of(ROWS[:2]))
    assert compared(new, "haze").verdict == "new"
    assert new.notes == []


def test_losses_are_ordered_by_the_change_against_the_champion() -> None:
    rows = pd.DataFrame([row("rain", name, 10.0, 20.0, variant=0) for name in "abcd"])
    then = [row("rain", name, 0.0, level) for name, level in zip("abc", (21, 25, 19), strict=True)]
    found, why = losses("rain", rows, champion_of(then), {"crop_border": 0})
    assert (list(found["image"]), why) == (["b", "a", "c"], "")
    assert list(found["change"]) == [-5.0, -1.0, 1.0]
    rows["output_psnr_rgb"] = [12.0, 11.0, 14.0, 13.0]
    found, why = losses("rain", rows, champion_of(then), {"crop_border": 4})
    assert (list(found["image"]), list(found["change"])) == (
        ["b", "a", "d", "c"],
        [1.0, 2.0, 3.0, 4.0],
    )
    assert why == "metrics protocol changed, not compared"


def test_latency_is_a_verdict_and_no_number() -> None:
    for p95, passed in ((0.9, True), (1.1, False)):
        metrics = judged(ROWS, latency=(p95, 1.0))
        (gate,) = [g for g in metrics.gates if g.gate == "max_latency_p95"]
        assert (gate.passed, gate.value, metrics.passed) == (passed, None, passed)
        assert str(p95) not in json.dumps(metrics.content())


def test_the_order_of_rows_changes_nothing() -> None:
    champion = champion_of(ROWS)
    assert judged(ROWS, champion) == judged(ROWS[::-1], champion)


def test_a_missing_a_double_and_a_strange_image_are_named() -> None:
    with pytest.raises(UserError, match="task rain: missing: rain-b"):
        judged([ROWS[0], *ROWS[2:]])
    with pytest.raises(UserError, match="task haze: twice, or not held out: a"):
        judged([*ROWS, ROWS[2]])
    with pytest.raises(UserError, match="task haze: twice, or not held out: c"):
        judged([*ROWS, row("haze", "c", 1.0, 2.0)])


def test_the_digest_is_of_the_pairs_whatever_their_order() -> None:
    digest = held_out_digest([("a", "b"), ("c", "b")])
    assert digest == held_out_digest([("c", "b"), ("a", "b")])
    others = [[("a", "b")], [("a", "b"), ("b", "c")], [("b", "a"), ("b", "c")]]
    assert digest not in {held_out_digest(pairs) for pairs in others}


def test_the_headline_has_each_tasks_gain() -> None:
    short = headline(judged(ROWS))
    assert short["psnr_gain"] == {"haze": 4.0, "rain": 1.5, "mean": 2.75}
    assert short["passed"] is True


def test_a_champion_whose_metrics_cannot_be_read_is_not_compared() -> None:
    metrics = judged(ROWS[:2], ChampionRecord(ID, None, pd.DataFrame(ROWS[:2])))
    said = "its metrics.json cannot be read, not compared"
    assert (metrics.notes, metrics.passed) == ([f"rain: {said}"], True)
    assert Judgement.of({"tasks": {"rain": {"images": "many"}}, "passed": True}) is None
    assert Judgement.of([]) is None


def test_metrics_json_is_read_back_as_it_was_written() -> None:
    metrics = judged(ROWS, champion_of(ROWS), (0.5, 1.0))
    assert Judgement.of(json.loads(json.dumps(metrics.content()))) == metrics
