"""The interval holds the true mean as often as it says, and variants of one target count once."""

import numpy as np
import pytest

from drdd.report import statistics
from drdd.report.statistics import interval


def _names(count: int) -> list[str]:
    return [str(n) for n in range(count)]


@pytest.mark.parametrize(("n", "least"), [(5, 0.85), (30, 0.92)])
def test_it_covers_the_true_mean(monkeypatch: pytest.MonkeyPatch, n: int, least: float) -> None:
    monkeypatch.setattr(statistics, "RESAMPLES", 1000)
    generator = np.random.default_rng(1)
    trials = 400
    held = 0
    for _ in range(trials):
        found = interval(generator.normal(3, 2, n).tolist(), _names(n))
        assert found is not None
        held += found[0] <= 3 <= found[1]
    assert least <= held / trials <= 0.99


def test_it_is_as_wide_as_students_for_normal_values() -> None:
    values = np.random.default_rng(2).normal(0, 1, 12)
    found = interval(values.tolist(), _names(12))
    assert found is not None
    student = 2 * 2.201 * values.std(ddof=1) / np.sqrt(12)  # t of 11 degrees, 97.5 %
    assert found[1] - found[0] == pytest.approx(student, rel=0.05)
    assert (found[0] + found[1]) / 2 == pytest.approx(values.mean(), abs=0.1)


def test_variants_of_one_target_say_the_same_thing_once() -> None:
    values = np.random.default_rng(3).normal(0, 1, 10).tolist()
    once = interval(values, _names(10))
    four_times = interval(values * 4, _names(10) * 4)
    assert four_times == pytest.approx(once)
    as_if_new = interval(values * 4, _names(40))
    assert once is not None
    assert as_if_new is not None
    assert as_if_new[1] - as_if_new[0] < 0.6 * (once[1] - once[0])


def test_the_same_values_give_the_same_interval_whatever_their_order() -> None:
    values, names = [1.0, 2.0, 4.0, 8.0], ["a", "b", "c", "d"]
    assert interval(values, names) == interval(values[::-1], names[::-1])
    assert interval([5.0] * 4, names) == (5.0, 5.0)


def test_one_picture_says_nothing_of_others() -> None:
    assert interval([1.0], ["a"]) is None
    assert interval([1.0, 2.0], ["a", "a"]) is None
    for broken in ([1.0, float("nan")], [1.0]):
        with pytest.raises(ValueError, match="finite value"):
            interval(broken, ["a", "b"])
