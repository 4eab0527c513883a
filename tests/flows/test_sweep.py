"""What a sweep runs, and how its page says it."""

from pathlib import Path

import pandas as pd
import pytest

from drdd.errors import UserError
from flows.comparison import plot, write
from flows.sweep import Axis, axes, combinations
from tests.drawing.svg import parts, points, texts

RUNS = pd.DataFrame(
    [
        {"method": m, "run": f"run-{m}", "state": "Completed", "task": t, "gain, dB": gain,
         "PSNR, dB": 20.0, "95 %": interval, "SSIM": 0.5, "gates": "passed"}
        for m, t, gain, interval in (
            ("drdd", "rain", 2.0, "+1.50 to +2.50"),
            ("drdd", "<fog>", -1.0, ""),
            ("coupled", "rain", 1.0, "+0.50 to +1.75"),
        )
    ]
    + [{"method": "regression", "run": "run-x", "state": "Failed"}]
)  # fmt: skip


def test_the_product_of_all_values_is_run() -> None:
    given = axes(["tasks.rain.pairs=0.01,0.05", "method=drdd,coupled"])
    assert combinations(given) == [
        {"tasks.rain.pairs": "0.01", "method": "drdd"},
        {"tasks.rain.pairs": "0.01", "method": "coupled"},
        {"tasks.rain.pairs": "0.05", "method": "drdd"},
        {"tasks.rain.pairs": "0.05", "method": "coupled"},
    ]


@pytest.mark.parametrize(
    ("item", "values"),
    [
        ("a=[1,2],[3,4]", ("[1,2]", "[3,4]")),
        ("a={b: 1, c: 2},{}", ("{b: 1, c: 2}", "{}")),
        ("a='x,y',z", ("'x,y'", "z")),
        ("a=1", ("1",)),
    ],
)
def test_a_comma_inside_a_value_is_part_of_it(item: str, values: tuple[str, ...]) -> None:
    assert axes([item]) == [Axis("a", values)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["seed"], "KEY=VALUE"),
        (["seed="], "KEY=VALUE"),
        (["seed=1,"], "KEY=VALUE"),
        (["seed=1", "seed=2"], "given more than once"),
        ([f"seed={','.join(map(str, range(201)))}"], "201 runs are more"),
    ],
)
def test_what_is_no_sweep_is_refused(given: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        axes(given)


def test_the_page_has_every_run_and_the_plot_every_number(tmp_path: Path) -> None:
    page = write(tmp_path, RUNS, ["method"]).read_text()
    assert "&lt;fog&gt;" in page
    assert "<fog>" not in page
    assert "run-x" in page
    drawn = plot(RUNS, ["method"])
    assert (len(parts(drawn, "gain")), len(parts(drawn, "bar"))) == (3, 3)
    assert {"rain", "<fog>", "method=drdd", "method=coupled"} <= set(texts(drawn))
    assert len(pd.read_csv(tmp_path / "runs.csv")) == 4


def test_the_plot_is_to_scale() -> None:
    drawn = plot(RUNS, ["method"])
    centres = [points(part)[0][0] for part in parts(drawn, "gain")]
    gains = [2.0, 1.0, -1.0]  # by task: rain's two, then fog's
    slope = (centres[0] - centres[2]) / 3.0
    assert slope > 0
    for centre, gain in zip(centres, gains, strict=True):
        assert centre == pytest.approx(centres[2] + slope * (gain + 1.0), abs=0.2)


def test_without_a_number_there_is_no_plot() -> None:
    assert plot(RUNS.tail(1), ["method"]) == ""
