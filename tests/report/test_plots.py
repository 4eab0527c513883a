"""Plots as SVG: curves that fall, round ticks, bins that hold every value, dots in their places."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drdd.drawing.svg import COLOURS, number, ticks
from drdd.report.plots import DOTS, WIDTH, bins, distribution, interval_mark, loss_curve, span_of
from tests.conftest import ROOT
from tests.drawing.svg import parts, points, texts, titles
from tests.report.findings import CURVE


def test_a_curve_is_svg_that_goes_down() -> None:
    drawn = loss_curve(CURVE, "a & b")
    (raw,), (smooth,) = parts(drawn, "raw"), parts(drawn, "smooth")
    for line in (raw, smooth):
        ys = [y for _, y in points(line)]
        assert ys == sorted(ys)  # SVG's y points down
        assert ys[0] < ys[-1]
    assert 'aria-label="a &amp; b"' in drawn
    assert {"images seen", "loss", "0", "15,000"} <= set(texts(drawn))


def test_colours_are_the_pages() -> None:
    drawn = loss_curve(CURVE, "a")
    assert "var(--accent)" in drawn
    assert "var(--faint)" in drawn
    assert not any(colour in drawn for colour in COLOURS)


def test_another_process_draws_the_same_bytes() -> None:
    said = (
        "from drdd.report.plots import loss_curve; from tests.report.findings import CURVE;"
        "print(loss_curve(CURVE, 'a'), end='')"
    )
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, check=True, cwd=ROOT)
    assert done.stdout.decode() == loss_curve(CURVE, "a")


@pytest.mark.parametrize("high", [0.003, 0.7, 1.0, 9.0, 16000.0])
def test_ticks_are_round_and_cover(high: float) -> None:
    found = [tick for tick in ticks(4).tick_values(0, high) if tick <= high * (1 + 1e-9)]
    assert found[0] == 0
    assert 3 <= len(found) <= 6
    assert high - (found[1] - found[0]) < found[-1]
    assert number(found[1] / 10 ** np.floor(np.log10(found[1]))).strip("0.") in "125"


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
    many = [*np.full(DOTS, 1.0), 3.0, float("nan")]
    drawn = distribution({"a": many, "b": [2.0]}, "l", "dB", marks=[1.67])
    assert [said.split(" from ")[0] for said in titles(drawn)] == [f"{DOTS} pictures", "1 picture"]
    assert len(parts(drawn, "bar")) == 2
    assert len(parts(drawn, "other")) == 1
    assert len(parts(drawn, "mark")) == 1


def test_few_pictures_are_dots_and_many_a_histogram() -> None:
    few = distribution({"a": [1.0, -2.0], "b": [2.0, np.nan]}, "l", "dB")
    (ours,), (theirs,) = parts(few, "ours"), parts(few, "theirs")
    assert (len(points(ours)), len(points(theirs))) == (2, 1)
    assert points(ours)[0][0] > points(ours)[1][0]
    assert len(parts(few, "join")) == 1  # of the picture that both rows have
    assert len(parts(few, "zero")) == 1
    assert {"a", "b", "dB"} <= set(texts(few))
    many = distribution({"a": np.arange(DOTS + 1.0)}, "l", "dB")
    assert parts(many, "bar")
    assert not parts(many, "ours")


def test_a_mark_puts_mean_need_and_champion_on_one_scale() -> None:
    span = span_of([1.0, None, 4.0])
    assert span == (0.0, 4.0)
    drawn = interval_mark("m", 2.0, (1.0, 3.0), 1.0, 2.0, span)
    ring, mean, needed, interval = (
        points(part) for n in ("other", "mean", "needed", "interval") for part in parts(drawn, n)
    )
    assert ring == mean
    assert needed[0][0] == interval[0][0]
    assert (interval[0][0] + interval[1][0]) / 2 == pytest.approx(mean[0][0], abs=1e-4)
    assert 'aria-hidden="true"' in drawn
    bare = interval_mark("m", 2.0, None, None, None, span)
    assert [len(parts(bare, name)) for name in ("mean", "other", "needed", "interval")] == [
        1,
        0,
        0,
        0,
    ]


@settings(max_examples=20, deadline=None)
@given(st.floats(-1e3, 1e3))
def test_a_plot_of_one_value_is_drawn(value: float) -> None:
    ((x, _),) = points(parts(distribution({"a": [value]}, "l", "dB"), "ours")[0])
    assert 0 <= x <= WIDTH
    assert parts(distribution({"a": [value] * (DOTS + 1)}, "l", "dB"), "bar")
