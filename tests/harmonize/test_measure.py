"""Noise brings shifted domains together, alike at each run; the suggestion keeps its rule."""

from xml.etree import ElementTree

import pandas as pd
import pytest
import torch
from torch import Tensor

from drdd.errors import UserError
from drdd.harmonize.measure import COLUMNS, harmonize, suggest
from drdd.harmonize.plot import plot, spread_out
from tests.drawing.svg import parts, texts

LEVELS = [0.0, 0.2, 0.5, 1.0]


def _images(seed: int, shift: float, count: int = 40) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.2 * torch.randn(count, 3, 8, 8, generator=generator) + shift


def _means(x: Tensor) -> Tensor:
    return x.mean(dim=(2, 3))


def _measured(seed: int = 0, levels: list[float] = LEVELS) -> pd.DataFrame:
    domains = {"a": _images(0, 0.0), "b": _images(1, 0.1), "c": _images(2, 0.0, count=30)}
    target = _images(3, 0.0)
    pairs = {"dark": (target - 0.1, target), "none": (target, target)}
    return harmonize(domains, pairs, levels, _means, seed)


def _table(*curves: list[float], levels: tuple[float, ...] = (0.0, 0.1, 0.2, 0.4)) -> pd.DataFrame:
    """Curves of relative energy distance in the feature space, one a name."""
    rows = [
        (level, "task", f"t{i}", "features", "energy", relative / 2, relative)
        for i, curve in enumerate(curves)
        for level, relative in zip(levels, curve, strict=True)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_the_table_is_tidy() -> None:
    table = _measured()
    assert list(table.columns) == COLUMNS
    assert set(table["level"]) == set(LEVELS)
    assert set(table["name"]) == {"a - b", "a - c", "b - c", "dark", "none"}
    assert len(table) == len(LEVELS) * 5 * 2 * 2
    assert not table.duplicated(COLUMNS[:5]).any()


def test_noise_brings_shifted_sets_together() -> None:
    table = _measured().query("distance == 'energy'").sort_values("level")
    for name in ("a - b", "dark"):
        for space in ("features", "pixels"):
            curve = table[(table["name"] == name) & (table["space"] == space)]["relative"]
            assert len(curve) == len(LEVELS)
            assert curve.iloc[0] == 1
            assert curve.is_monotonic_decreasing
            assert curve.iloc[-1] < 0.35


def test_sets_that_are_together_have_no_relative_distance() -> None:
    table = _measured()
    assert table.loc[table["name"] == "none", "relative"].isna().all()


def test_the_same_bytes_again_and_other_noise_from_another_seed() -> None:
    assert _measured().to_csv() == _measured().to_csv()
    first, other = _measured(0), _measured(1)
    clean = first["level"] == 0
    assert first[clean].equals(other[clean])
    assert not first[~clean].equals(other[~clean])


def test_other_levels_change_no_value_and_zero_is_always_measured() -> None:
    few = _measured(levels=[0.5])
    assert set(few["level"]) == {0.0, 0.5}
    every = _measured()
    same = every[every["level"].isin([0.0, 0.5])].reset_index(drop=True)
    pd.testing.assert_frame_equal(few, same)


def test_progress_counts_images() -> None:
    told: list[tuple[int, int]] = []
    domains = {"a": _images(0, 0.0, count=5), "b": _images(1, 0.0, count=6)}
    harmonize(domains, {}, [0.1], _means, 0, lambda done, total: told.append((done, total)))
    assert told == [(5, 22), (11, 22), (16, 22), (22, 22)]


def test_the_smallest_level_that_halves_is_suggested() -> None:
    suggestion = suggest(_table([1, 0.7, 0.4, 0.1], [1, 0.8, 0.5, 0.2], [1, 1.2, 1.3, 1.4]))
    assert suggestion.level == 0.2
    assert "smallest level measured" in suggestion.why
    assert "50%" in suggestion.why
    assert suggestion.why.endswith("Farther apart there than without noise: t2.")


def test_where_none_halves_the_largest_fall_is_suggested() -> None:
    suggestion = suggest(_table([1, 0.9, 0.6, 0.8], [1, 0.9, 0.7, 0.8]))
    assert suggestion.level == 0.2
    assert suggestion.why.startswith("No level measured halves the distances; at 0.2 they fall")


def test_where_nothing_falls_it_says_so() -> None:
    suggestion = suggest(_table([1, 1.1, 1.5, 2]))
    assert suggestion.level == 0.1
    assert suggestion.why.startswith("Noise does not bring these sets closer")


def test_the_other_space_and_distance_do_not_decide() -> None:
    deciding = _table([1, 0.9, 0.8, 0.4])
    other = _table([1, 0.1, 0.1, 0.1]).assign(space="pixels")
    frechet = _table([1, 0.1, 0.1, 0.1]).assign(distance="frechet")
    assert suggest(pd.concat([deciding, other, frechet])).level == 0.4


def test_nothing_apart_is_refused() -> None:
    with pytest.raises(UserError, match="no two sets are apart"):
        suggest(_table([float("nan")] * 4))


def test_the_plot_is_a_whole_svg_with_a_curve_for_each_name() -> None:
    table = _measured()
    drawn = plot(table)
    assert drawn == plot(table)
    assert ElementTree.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg"
    said = " ".join(texts(drawn))
    assert "a - b" in said
    assert "dark" in said
    drawn_curves = parts(drawn, "energy") + parts(drawn, "frechet")
    assert len(drawn_curves) == len(table.dropna().groupby(COLUMNS[1:5]))
    assert b"nan" not in drawn


def test_the_plot_escapes_names_and_lets_large_values_leave() -> None:
    drawn = plot(_table([1, 0.5, 4, 9]).assign(name="a<b $x$"))
    assert "a<b $x$ ↑ 900%" in texts(drawn)


def test_labels_are_spread_out_and_stay_on_the_panel() -> None:
    assert spread_out([0.5, 0.45, 1.0], 0.0, 0.1) == pytest.approx([0.5, 0.4, 1.0])
    assert spread_out([0.02, 0.0, 0.01], 0.0, 0.1) == pytest.approx([0.2, 0.0, 0.1])
