"""The loop, in process: resumption is exact, the EMA is its formula, a NaN is said where it is."""

import copy
import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from drdd.training.loop import (
    NonFiniteLossError,
    Progress,
    State,
    Worker,
    learning_rate_factor,
    train,
    update_ema,
)
from drdd.training.specs import Drawing, Losses, StageSpec
from tests.training.tiny import noise, residual, settings


def _equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("make", [noise, residual])
def test_a_resumed_run_ends_with_the_same_bytes(make: object) -> None:
    assert callable(make)
    states: list[State] = []
    whole = train(
        make(),
        settings(),
        Worker(save=lambda state, progress: states.append(copy.deepcopy(state))),
    )
    assert [state["step"] for state in states] == [10, 20, 30, 40]
    for state in states[:3]:
        resumed = train(make(), settings(), Worker(load=functools.partial(copy.deepcopy, state)))
        assert _equal(whole.weights, resumed.weights)
        assert whole.curve == resumed.curve


def test_training_learns_and_reports_in_images() -> None:
    seen: list[Progress] = []
    changes: dict[str, Any] = {"images": 1200, "learning_rate": 3e-3}
    trained = train(residual(**changes), settings(**changes), Worker(report=seen.append))
    assert [progress.images for progress in seen] == [40 * (i + 1) for i in range(30)]
    assert trained.curve == [
        {"images": progress.images, "loss": progress.loss, **progress.groups} for progress in seen
    ]
    for progress in seen:  # tasks take turns, so their means are the whole's
        both = progress.groups["dark"] + progress.groups["flat"]
        assert both / 2 == pytest.approx(progress.loss, rel=1e-5)
    losses = [progress.loss for progress in seen]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


def test_the_order_of_workers_shares_covers_each_sample_once() -> None:
    """Two workers' shares of every step are the samples of one worker."""

    class Recording:
        name = "noise"
        groups = ()

        def __init__(self) -> None:
            self.seen: list[list[int]] = []

        def network(self) -> nn.Module:
            return nn.Conv2d(3, 3, 1)

        def draw(self, numbers: Sequence[int]) -> list[int]:
            return list(numbers)

        def losses(self, net: nn.Module, samples: list[int], device: torch.device) -> Losses:
            self.seen.append(samples)
            of = torch.stack([parameter.square().sum() for parameter in net.parameters()])
            return Losses(of, torch.zeros(len(of), 0))

    def shares(rank: int, world: int) -> list[list[int]]:
        spec = Recording()
        train(spec, settings(), Worker(rank=rank, world=world))  # type: ignore[arg-type]
        return spec.seen

    alone = shares(0, 1)
    assert alone == [list(range(4 * step, 4 * step + 4)) for step in range(40)]
    assert [a + b for a, b in zip(shares(0, 2), shares(1, 2), strict=True)] == alone


def test_a_loss_that_is_no_number_names_step_and_samples() -> None:
    class Broken:
        name = "noise"

        def __init__(self, inner: StageSpec) -> None:
            self._inner = inner
            self.groups = inner.groups

        def network(self) -> nn.Module:
            return self._inner.network()

        def draw(self, numbers: Sequence[int]) -> Drawing:
            drawing = self._inner.draw(numbers)
            if 22 in numbers:
                drawing.batch.noise[0, 0, 0, 0] = float("nan")
            return drawing

        def losses(self, net: nn.Module, drawing: Drawing, device: torch.device) -> Losses:
            return self._inner.losses(net, drawing, device)

    with pytest.raises(NonFiniteLossError, match="nan at step 5, samples 20 to 23"):
        train(Broken(noise()), settings(), Worker())  # type: ignore[arg-type]


def test_the_ema_is_its_formula() -> None:
    net = nn.Linear(1, 1, bias=False)
    ema = {"weight": torch.zeros(1, 1)}
    expected = 0.0
    for step, value in enumerate([1.0, -2.0, 4.0, 0.5]):
        nn.init.constant_(net.weight, value)
        update_ema(ema, net, 0.2, step)
        decay = min(0.2, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert float(ema["weight"]) == pytest.approx(expected)


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    factors = [learning_rate_factor(step, 100, 0.1) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[10] == 1.0
    assert all(a > b for a, b in itertools.pairwise(factors[10:]))
    assert factors[-1] < 0.001
