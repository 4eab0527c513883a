"""The n-th sample of a run is a pure function of (seed, n)."""

import numpy as np
import pytest
import torch

from drdd.diffusion.keyed import keyed_generator
from drdd.training import samples as samples_module
from drdd.training.order import crop_alike, item_of
from drdd.training.samples import PairSamples
from tests.training.tiny import PAIRS, PHOTOGRAPHS


@pytest.mark.parametrize("count", [1, 7, 30])
def test_every_epoch_is_a_fresh_permutation(count: int) -> None:
    epochs = [[item_of(3, "noise", e * count + i, count) for i in range(count)] for e in range(4)]
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
    if count > 1:
        assert len({tuple(epoch) for epoch in epochs}) == 4
        assert epochs[0] != [item_of(4, "noise", i, count) for i in range(count)]


def test_target_and_degraded_are_cropped_alike() -> None:
    target = np.random.default_rng(0).integers(0, 200, (40, 50, 3), dtype=np.uint8)
    symmetries = set()
    for n in range(60):
        a, b = crop_alike([target, target + 50], 16, keyed_generator(n))
        np.testing.assert_allclose((b - a).numpy(), 50 / 127.5, atol=1e-6)
        assert a.shape == (3, 16, 16)
        assert -1 <= float(a.min()) <= float(a.max()) <= 1
        symmetries.add(a.numpy().tobytes())
    assert len(symmetries) == 60


def test_all_eight_symmetries_occur() -> None:
    square = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    seen = {crop_alike([square], 4, keyed_generator(n))[0].numpy().tobytes() for n in range(200)}
    assert len(seen) == 8


def test_a_small_image_is_mirrored_to_the_crop() -> None:
    small = np.random.default_rng(0).integers(0, 256, (10, 20, 3), dtype=np.uint8)
    (crop,) = crop_alike([small], 16, keyed_generator(0))
    assert crop.shape == (3, 16, 16)
    values = np.round((crop.numpy() + 1) * 127.5).astype(np.uint8)
    assert np.isin(values, small).all()


def test_a_task_has_its_share_of_every_round() -> None:
    """Spread over the round, and every pair of a task once before any comes again."""
    pairs = {name: [(PHOTOGRAPHS[0], PHOTOGRAPHS[0])] for name in ("a", "b", "c")}
    samples = PairSamples(pairs, 16, 0, {"b": 4, "c": 2})
    drawn = [samples.draw("residual", n, torch.Generator()).group for n in range(14)]
    assert drawn[:7] == drawn[7:]
    assert {name: drawn[:7].count(name) for name in pairs} == {"a": 1, "b": 4, "c": 2}
    assert all(drawn[n : n + 2] != ["c", "c"] for n in range(6))
    alone = PairSamples(pairs, 16, 0)
    assert [alone.draw("residual", n, torch.Generator()).group for n in range(3)] == ["a", "b", "c"]


def test_all_pairs_of_a_task_come_before_any_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[tuple[str, int]] = []

    def recorded(seed: int, stage: str, n: int, count: int) -> int:
        turns.append((stage, n))
        return 0

    monkeypatch.setattr(samples_module, "item_of", recorded)
    samples = PairSamples(PAIRS, 16, 0, {"dark": 3})
    for n in range(12):
        samples.draw("residual", n, torch.Generator())
    for task, count in (("dark", 9), ("flat", 3)):
        assert sorted(n for stage, n in turns if stage == f"residual/{task}") == list(range(count))
