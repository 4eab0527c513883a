"""Plots as SVG: curves that fall, round ticks, bins that hold every value, dots in their places."""

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drdd.report.axes import WIDTH, across, number, ticks
from drdd.report.curves import loss_curve
from drdd.report.distributions import (
    DOTS,
    bins,
    distribution,
    histogram,
    interval_mark,
    span_of,
)
from tests.report.findings import CURVE


def test_a_curve_is_svg_that_goes_down() -> None:
    svg = ElementTree.fromstring(loss_curve(CURVE, "a & b"))
    lines = svg.findall("polyline")
    assert [line.get("class") for line in lines] == ["raw", "smooth"]
    ys = [float(point.split(",")[1]) for point in str(lines[0].get("points")).split()]
    assert ys == sorted(ys)  # SVG's y points down
    assert len(ys) == 100


@pytest.mark.parametrize("high", [0.003, 0.7, 1.0, 9.0, 16000.0])
def test_ticks_are_round_and_cover(high: float) -> None:
    found = ticks(high)
    assert found[0] == 0
    assert 3 <= len(found) <= 6
    assert high - (found[1] - found[0]) < found[-1] <= high * (1 + 1e-9)


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4))
def test_ticks_between_any_two_ends_lie_between_them(low: float, span: float) -> None:
    found = ticks(low + span, low)
    slack = 1e-6 * (abs(low) + span)
    assert 2 <= len(found) <= 12
    assert all(low - slack <= tick <= low + span + slack for tick in found)


def test_a_number_has_the_sign_of_typography() -> None:
    assert [number(v) for v in (-0.5, 0.0, 1234.0)] == ["\N{MINUS SIGN}0.5", "0", "1,234"]


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=50))
@example([16.0, -5e-324])
def test_bins_hold_every_value(values: list[float]) -> None:
    edges = bins(np.array(values))
    assert np.histogram(values, edges)[0].sum() == len(values)
    assert np.allclose(np.diff(edges), edges[1] - edges[0])
    assert 2 <= len(edges) <= 40


def test_a_histogram_counts_pictures() -> None:
    drawn = histogram([1.0, 1.01, 3.0, float("nan")], "l", "dB", other=[2.0], marks=[1.67])
    svg = ElementTree.fromstring(drawn)
    said = [str(title.text) for title in svg.iter("title")]
    assert [text.split(" from ")[0] for text in said] == ["2 pictures", "1 picture"]
    assert [line.get("class") for line in svg.findall("polyline")] == ["other"]
    assert [line.get("class") for line in svg.findall("line")].count("mark") == 1


def test_few_pictures_are_dots_and_many_a_histogram() -> None:
    few = ElementTree.fromstring(distribution({"a": [1.0, -2.0], "b": [2.0, np.nan]}, "l", "dB"))
    circles = few.findall("circle")
    assert [c.get("class") for c in circles] == ["dot ours", "dot ours", "dot theirs"]
    assert float(circles[0].get("cx", 0)) > float(circles[1].get("cx", 0))
    classes = [line.get("class") for line in few.findall("line")]
    assert classes.count("join") == 1  # of the picture that both rows have
    assert classes.count("zero") == 1
    many = ElementTree.fromstring(distribution({"a": np.arange(DOTS + 1.0)}, "l", "dB"))
    assert many.findall("rect")
    assert not many.findall("circle")


def test_a_mark_puts_mean_need_and_champion_on_one_scale() -> None:
    span = span_of([1.0, None, 4.0])
    assert span == (0.0, 4.0)
    svg = ElementTree.fromstring(interval_mark(2.0, (1.0, 3.0), 1.0, 2.0, span))
    lines = {line.get("class"): line for line in svg.findall("line")}
    ring, mean = svg.findall("circle")
    assert ring.get("cx") == mean.get("cx")
    assert lines["needed"].get("x1") == lines["interval"].get("x1")
    middle = (float(lines["interval"].get("x1", 0)) + float(lines["interval"].get("x2", 0))) / 2
    assert middle == pytest.approx(float(mean.get("cx", 0)))
    bare = ElementTree.fromstring(interval_mark(2.0, None, None, None, span))
    assert len(bare.findall("circle")) == 1


@given(st.floats(-1e3, 1e3))
def test_a_plot_of_one_value_is_drawn(value: float) -> None:
    for drawn in (distribution({"a": [value]}, "l", "dB"), histogram([value], "l", "dB")):
        ElementTree.fromstring(drawn)
    low, high = bins(np.array([value]))[[0, -1]]
    assert 0 <= across(low, high)(value) <= WIDTH
