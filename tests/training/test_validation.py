"""Validation: every sampler against what is known of it, the same numbers and bytes always."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from drdd.cluster.live import draw_grid
from drdd.degradations.corruption import corrupt
from drdd.diffusion.keyed import keyed_generator
from drdd.diffusion.process import Conditioning
from drdd.methods import find
from drdd.methods.coupled import coupled_noise
from drdd.metrics.fidelity import PSNR_CAP
from drdd.nets.compact import CompactConfig
from drdd.nets.compact_unet import CompactUNet
from drdd.pictures.tensors import to_tensor
from drdd.training.validation import ROWS, Held, Restore, validate, with_corrupted_copies
from tests.corpora import Pixels, scene
from tests.nets.tiny import random_weights, sampling
from tests.training.tiny import SCHEDULE

SEED, SIZE = 3, 16


def _restore(stage: str, **changes: Any) -> Restore:
    chosen = sampling(**changes)
    return partial(find(chosen.method)(chosen).validate, stage)


RESTORERS: dict[str, Restore] = {
    "noise": _restore("noise"),
    "noise beside a condition": _restore("noise", conditioning="input"),
    "residual": _restore("residual"),
    "coupled": _restore("residual", method="coupled"),
    "regression": _restore("residual", method="regression"),
}


def _held(group: str, name: str, target: Pixels, degraded: Pixels | None = None) -> Held:
    return Held(group, name, to_tensor(target), None if degraded is None else to_tensor(degraded))


HELD = [
    *(_held("dark", f"c/{n}", scene(n, SIZE, SIZE), scene(n, SIZE, SIZE) // 3) for n in range(3)),
    *(
        _held("flat", f"c/{n}", scene(n, SIZE, SIZE), scene(n, SIZE, SIZE) // 2)
        for n in range(3, 6)
    ),
]


def _noise(one: Held) -> Tensor:
    generator = keyed_generator(SEED, "validation", one.group, one.name)
    return torch.randn(one.target.shape, generator=generator)


def _psnr(one: Tensor, other: Tensor) -> float:
    """By its definition, of what the two are as 8-bit pictures."""
    a, b = (((x.double().clamp(-1, 1) + 1) * 127.5).round() for x in (one, other))
    mse = float((a - b).square().mean())
    return PSNR_CAP if mse == 0 else 20 * math.log10(255) - 10 * math.log10(mse)


def _means(held: Sequence[Held], begun: Callable[[Held], Tensor]) -> dict[str, float]:
    return {
        group: float(np.mean([_psnr(begun(one), one.target) for one in held if one.group == group]))
        for group in dict.fromkeys(one.group for one in held)
    }


def _degraded(one: Held) -> Tensor:
    assert one.degraded is not None
    return one.degraded


class _Knows(nn.Module):
    """Answers with what is true of the held-out picture that it sees, last of its channels."""

    def __init__(self, *answers: Callable[[Held], Tensor]) -> None:
        super().__init__()
        self._answers = answers

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        seen = [min(HELD, key=lambda one: self._distance(row[-3:], one)) for row in x]
        return torch.stack([torch.cat([answer(one) for answer in self._answers]) for one in seen])

    @staticmethod
    def _distance(row: Tensor, one: Held) -> float:
        return min(float((row - side).abs().mean()) for side in (one.target, _degraded(one)))


class _Silent(nn.Module):
    """Predicts zero; has a part of its own, in evaluation mode, and remembers what it was given."""

    def __init__(self, out_channels: int = 3) -> None:
        super().__init__()
        self.part = nn.Dropout(0.5).eval()
        self.given: list[Tensor] = []
        self.modes: set[tuple[bool, bool]] = set()
        self._channels = out_channels

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        self.given.append(x)
        self.modes.add((self.training, torch.is_grad_enabled()))
        return x.new_zeros(len(x), self._channels, *x.shape[2:])


def _random_net(name: str) -> CompactUNet:
    into, out = {"noise": (3, 3), "regression": (3, 3), "coupled": (6, 6)}.get(name, (6, 3))
    config = CompactConfig(into, out, (8, 16))
    net = CompactUNet(config)
    torch.manual_seed(0)
    net.load_state_dict(random_weights(config))
    return net


@pytest.mark.parametrize("name", RESTORERS)
def test_a_network_that_knows_the_answer_reaches_the_cap(name: str) -> None:
    """eps is keyed by (seed, "validation", group, name), which the network shares with validation."""
    residual = lambda one: _degraded(one) - one.target  # noqa: E731
    answers = {"coupled": [residual, _noise], "residual": [residual], "regression": [residual]}
    net = _Knows(*answers.get(name, [_noise]))
    found = validate(net, RESTORERS[name], HELD, SEED, "cpu")
    assert found.psnr == {"dark": PSNR_CAP, "flat": PSNR_CAP}


@pytest.mark.parametrize("name", RESTORERS)
def test_a_network_that_says_nothing_keeps_the_psnr_of_the_input(name: str) -> None:
    def noisy(one: Held) -> Tensor:
        return one.target + SCHEDULE.fixed_noise * _noise(one)

    def coupled(one: Held) -> Tensor:
        """Its noise is the network's to remove, too."""
        return _degraded(one) + float(coupled_noise(SCHEDULE)[-1]) * _noise(one)

    expected = {"residual": _degraded, "regression": _degraded, "coupled": coupled}
    found = validate(
        _Silent(6 if name == "coupled" else 3), RESTORERS[name], HELD, SEED, "cpu"
    ).psnr
    assert found == pytest.approx(_means(HELD, expected.get(name, noisy)), abs=0.01)


def test_noise_of_level_s_alone_is_worth_what_its_variance_says() -> None:
    """Where nothing is cut off, MSE = (127.5 s)^2 + 1/12, the rounding's."""
    grey = [_held("clean", str(n), np.full((64, 64, 3), 128, np.uint8)) for n in range(4)]
    found = validate(_Silent(), RESTORERS["noise"], grey, SEED, "cpu").psnr["clean"]
    mse = (127.5 * SCHEDULE.fixed_noise) ** 2 + 1 / 12
    assert found == pytest.approx(10 * math.log10(255**2 / mse), abs=0.05)


@pytest.mark.parametrize("name", RESTORERS)
def test_neither_order_nor_repetition_changes_a_byte(name: str) -> None:
    net, restore = _random_net(name), RESTORERS[name]
    first = validate(net, restore, HELD, SEED, "cpu")
    for held in (HELD, HELD[::-1]):
        again = validate(net, restore, held, SEED, "cpu")
        assert again.psnr == first.psnr
        assert draw_grid(again.rows) == draw_grid(first.rows)
    if name != "regression":
        assert validate(net, restore, HELD, SEED + 1, "cpu").psnr != first.psnr


@pytest.mark.parametrize("name", RESTORERS)
def test_a_picture_depends_on_no_other_to_the_last_bit(name: str) -> None:
    net, restore = _random_net(name), RESTORERS[name]
    together = validate(net, restore, HELD, SEED, "cpu").psnr
    alone = {one.name: validate(net, restore, [one], SEED, "cpu").psnr for one in HELD[:3]}
    assert together["dark"] == np.mean([found["dark"] for found in alone.values()])


def test_the_network_and_the_global_generator_are_left_as_they_were() -> None:
    net, state = _Silent(), torch.get_rng_state()
    validate(net, RESTORERS["residual"], HELD, SEED, "cpu")
    assert net.modes == {(False, False)}
    assert net.training
    assert not net.part.training
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)
    net.eval()
    validate(net, RESTORERS["residual"], HELD, SEED, "cpu")
    assert not net.training


def test_the_modes_come_back_when_validation_fails() -> None:
    net = _Silent(out_channels=5)
    with pytest.raises(RuntimeError):
        validate(net, RESTORERS["residual"], HELD, SEED, "cpu")
    assert net.training
    assert not net.part.training


@pytest.mark.parametrize("conditioning", ["none", "input", "estimate"])
def test_the_noise_net_sees_its_condition_below_the_noisy_picture(
    conditioning: Conditioning,
) -> None:
    net = _Silent()
    validate(net, _restore("noise", conditioning=conditioning), HELD[:1], SEED, "cpu")
    noisy = HELD[0].target + SCHEDULE.fixed_noise * _noise(HELD[0])
    seen = [noisy] if conditioning == "none" else [noisy, _degraded(HELD[0])]
    assert [torch.equal(x[0], torch.cat(seen)) for x in net.given] == [True, True]


def test_a_corrupted_copy_is_keyed_by_its_picture() -> None:
    clean = [replace(one, degraded=None) for one in HELD]
    copies = with_corrupted_copies(clean, SEED)
    for one, copy in zip(clean, copies, strict=True):
        key = (SEED, "validation", one.group, one.name, "corrupted")
        assert torch.equal(_degraded(copy), corrupt(one.target, keyed_generator(*key)))
        assert torch.equal(copy.target, one.target)
        (alone,) = with_corrupted_copies([one], SEED)
        assert torch.equal(_degraded(alone), _degraded(copy))


def test_an_output_that_is_not_finite_has_no_psnr_and_spoils_no_other_group() -> None:
    class Breaks(_Silent):
        def forward(self, x: Tensor, time: Tensor) -> Tensor:
            zeros = super().forward(x, time)
            if torch.equal(x[0, 3:], _degraded(HELD[0])):
                zeros[0, 0, 0, 0] = torch.nan
            return zeros

    found = validate(Breaks(), RESTORERS["residual"], HELD, SEED, "cpu")
    assert math.isnan(found.psnr["dark"])
    assert found.psnr["flat"] == pytest.approx(_means(HELD, _degraded)["flat"], abs=0.01)


def _plain(group: str, name: str, value: int) -> Held:
    pixels = np.full((SIZE, SIZE, 3), value, np.uint8)
    return _held(group, name, pixels, pixels // 2)


def test_the_groups_take_turns_in_what_is_shown() -> None:
    values = {("a", "1"): 20, ("a", "2"): 40, ("a", "3"): 60, ("b", "1"): 80, ("c", "1"): 100}
    held = [_plain(group, name, value) for (group, name), value in values.items()]
    rows = validate(_Silent(), RESTORERS["residual"], held, SEED, "cpu").rows
    assert [row.group for row in rows] == ["a", "b", "c", "a", "a"]
    for row, value in zip(rows, (20, 80, 100, 40, 60), strict=True):
        for pixels, shown in (
            (row.before, value // 2),
            (row.output, value // 2),
            (row.target, value),
        ):
            assert (pixels == shown).all()


def test_no_more_pictures_are_shown_than_may_be() -> None:
    held = [_plain("a", str(n), 10 * n) for n in range(12)]
    for count in (0, 1, 12):
        found = validate(_Silent(), RESTORERS["regression"], held[:count], SEED, "cpu")
        assert len(found.rows) == min(count, ROWS)
        assert len(found.psnr) == min(count, 1)


def test_the_noise_stage_shows_the_noisy_picture_first() -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    (row,) = validate(_Silent(), RESTORERS["noise"], [_held("clean", "1", grey)], SEED, "cpu").rows
    assert row.before.std() == pytest.approx(127.5 * SCHEDULE.fixed_noise, rel=0.03)
    assert (row.target == 128).all()
