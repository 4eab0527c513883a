"""The loop, in process: resumption is exact, samples do not depend on workers, bad losses are skipped."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from drdd.methods.method import Batch
from drdd.training.history import NonFiniteLossError, reproducible
from drdd.training.learner import REHEARSALS, Worker
from drdd.training.loop import Trained, train
from drdd.training.optimisation import learning_rate_factor, update_ema
from drdd.training.specs import Drawing, Losses, StageSpec
from drdd.training.validation import ShownRow, Validated
from tests.cluster.recorded import Recorded
from tests.training.tiny import noise, residual, settings

ALONE = Worker()
GREY = np.full((4, 4, 3), 128, np.uint8)
SHOWN = ShownRow("clean", GREY, GREY, GREY, 20.0, 21.0)


def _equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def _same(a: Trained, b: Trained) -> bool:
    return _equal(a.weights, b.weights) and a.curve == b.curve


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("make", [noise, residual])
def test_a_resumed_run_ends_with_the_same_bytes(make: Any, optimizer: str) -> None:
    """From every checkpoint, those that were asked for between two points of the curve included."""
    changes: dict[str, Any] = {"optimizer": optimizer, "checkpoint_every": 28}
    callback = Recorded(ask_after=52)
    whole = train(make(), settings(**changes), ALONE, callback)
    assert [images for _, images, _ in callback.states] == [28, 52, 56, 84, 112, 140, 160]
    for state, images, _ in callback.states:
        again = Recorded(state)
        assert _same(whole, train(make(), settings(**changes), ALONE, again))
        assert [point["images"] for point in again.began[0]] == list(range(40, images + 1, 40))


def test_training_learns_and_reports_in_images() -> None:
    callback = Recorded()
    changes: dict[str, Any] = {"images": 1200, "learning_rate": 3e-3}
    trained = train(residual(**changes), settings(**changes), ALONE, callback)
    assert [progress.images for progress in callback.seen] == [40 * (i + 1) for i in range(30)]
    assert {progress.total for progress in callback.seen} == {1200}
    assert trained.curve == [reproducible(progress.point) for progress in callback.seen]
    for progress in callback.seen:  # tasks take turns, so their means are the whole's
        point = progress.point
        assert (point["loss/dark"] + point["loss/flat"]) / 2 == pytest.approx(
            point["loss"], rel=1e-5
        )
        assert 0 <= point["waiting"] <= 1
        assert point["grad_norm"] > 0
        assert point["utilisation"] > 0
        assert point["memory_gib"] > 0
    losses = [progress.point["loss"] for progress in callback.seen]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


class Summing(nn.Module):
    """A spec's network whose loss tells which samples it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


class Recording:
    """A spec that records which samples are learned from; the loss of sample n has the gradient n."""

    name, groups, validate = "noise", (), None

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def network(self) -> nn.Module:
        return Summing()

    def draw(self, numbers: Sequence[int]) -> Drawing:
        n = torch.tensor(list(numbers))
        return Drawing(Batch(n, None, n, n), torch.zeros(len(n), 0))

    def losses(self, net: Summing, drawing: Drawing, device: torch.device) -> Any:
        self.seen.append(drawing.batch.t.tolist())
        return Losses(drawing.batch.t * net.weight, drawing.group_mask)


def _seen(worker: Worker, **changes: Any) -> list[list[int]]:
    spec = Recording()
    quiet = settings(batch=12, images=120, **changes)
    train(spec, quiet, worker)  # type: ignore[arg-type]
    if worker.world > 1:
        assert spec.seen[:REHEARSALS] == [[0]] * REHEARSALS
        del spec.seen[:REHEARSALS]
    return spec.seen


@pytest.mark.parametrize("world", [1, 2, 3, 4, 5])
def test_workers_shares_cover_each_sample_once(world: int) -> None:
    """In the order of one worker; shares that cannot be equal differ by one sample."""
    shares = [_seen(Worker(rank, world)) for rank in range(world)]
    joined = [list(itertools.chain(*parts)) for parts in zip(*shares, strict=True)]
    assert joined == [list(range(12 * step, 12 * step + 12)) for step in range(10)]
    assert {len(part) for share in shares for part in share} <= {12 // world, -(-12 // world)}


def test_gradients_are_the_same_in_one_pass_or_in_many() -> None:
    plain = {"optimizer": "sgd", "learning_rate": 0.1}
    whole = train(residual(), settings(**plain), ALONE)
    parts = train(residual(), settings(**plain, micro_batch=1), ALONE)
    for name, value in whole.weights.items():
        assert torch.allclose(value, parts.weights[name], rtol=1e-4, atol=1e-6)
    passes = _seen(ALONE, micro_batch=4)
    assert passes == [list(range(4 * i, 4 * i + 4)) for i in range(30)]


@pytest.mark.slow
def test_a_compiled_network_learns_the_same() -> None:
    plain = {"optimizer": "sgd", "learning_rate": 0.1}
    eager = train(noise(), settings(**plain, images=40), ALONE)
    compiled = train(noise(), settings(**plain, images=40, compile=True), ALONE)
    for name, value in eager.weights.items():
        assert torch.allclose(value, compiled.weights[name], rtol=1e-3, atol=1e-5)


def _breaking(spec: StageSpec, *bad: int) -> StageSpec:
    """The same spec, but the noise of these samples is NaN."""

    class Broken(type(spec)):  # type: ignore[misc]
        def draw(self, numbers: Sequence[int]) -> Drawing:
            drawing = super().draw(numbers)
            for n in set(bad) & set(numbers):
                drawing.batch.noise[list(numbers).index(n)] = float("nan")
            return drawing

    return Broken(**{name: getattr(spec, name) for name in spec.__dataclass_fields__})


def test_a_step_whose_loss_is_no_number_changes_no_weight_and_is_counted() -> None:
    callback = Recorded()
    saved = settings(checkpoint_every=4, ema=0.0)
    train(_breaking(noise(), 22, 49), saved, ALONE, callback)
    nets = [state["learner"]["net"] for state, _, _ in callback.states]
    still = [i for i, (a, b) in enumerate(itertools.pairwise(nets), start=2) if _equal(a, b)]
    assert still == [6, 13]  # the steps of samples 20 to 23 and 48 to 51
    assert [progress.point["skipped"] for progress in callback.seen] == [1, 2, 2, 2]
    for progress in callback.seen:
        assert np.isfinite(list(progress.point.values())).all()


def test_skipped_steps_are_remembered_by_a_checkpoint() -> None:
    spec, callback = _breaking(noise(), 42), Recorded(ask_after=52)
    whole = train(spec, settings(), ALONE, callback)
    middle = next(state for state, images, _ in callback.states if images == 52)
    resumed = train(spec, settings(), ALONE, Recorded(middle))
    assert _same(whole, resumed)
    assert resumed.curve[-1]["skipped"] == 1


def test_too_many_skipped_steps_stop_the_run_with_a_diagnosis() -> None:
    callback = Recorded()
    with pytest.raises(NonFiniteLossError) as error:
        train(_breaking(noise(), 22, 49, 50), settings(max_skipped=1), ALONE, callback)
    assert "at 2 step(s) of the noise stage, more than train.noise.max_skipped = 1" in str(
        error.value
    )
    assert "last at step 12, where the loss of sample 49, 50 was not" in str(error.value)
    good = callback.states[-1][0]
    assert all(torch.isfinite(value).all() for value in good["learner"]["net"].values())


def _validated(scores: dict[int, float]) -> tuple[StageSpec, list[Tensor]]:
    """A spec whose validations give these PSNRs one after another, and the weights they were given."""
    given: list[Tensor] = []
    values = iter(scores.values())

    def validate(net: nn.Module, device: torch.device) -> Validated:
        given.append(torch.cat([value.flatten() for value in net.state_dict().values()]).clone())
        psnr = next(values)
        return Validated({"clean": psnr, "other": psnr + 2}, (SHOWN,))

    return replace(noise(), validate=validate), given


def test_validations_see_the_averaged_weights_and_disturb_nothing() -> None:
    spec, given = _validated({80: 20.0, 160: 21.0})
    callback = Recorded()
    validated = train(spec, settings(validate_every=80), ALONE, callback)
    plain = train(noise(), settings(), ALONE)
    assert _equal(validated.weights, plain.weights)
    assert torch.equal(given[-1], torch.cat([v.flatten() for v in validated.weights.values()]))
    points = {progress.images: progress for progress in callback.seen}
    assert [points[n].point.get("psnr") for n in (40, 80, 120, 160)] == [None, 21.0, None, 22.0]
    assert points[80].point["psnr/other"] == 22.0
    assert [points[n].shown for n in (40, 80)] == [(), (SHOWN,)]


def test_a_better_validation_is_saved_at_once_with_its_psnr() -> None:
    spec, _ = _validated({40: 20.0, 80: 19.0, 120: 23.0, 160: 18.0})
    callback = Recorded()
    train(spec, settings(validate_every=40, checkpoint_every=160), ALONE, callback)
    assert [(images, psnr) for _, images, psnr in callback.states] == [
        (40, 21.0),
        (120, 24.0),
        (160, 19.0),
    ]


def test_a_budget_of_minutes_ends_the_run_at_a_learning_rate_near_zero() -> None:
    callback = Recorded()
    short = settings(images=40_000, minutes=0.05, checkpoint_every=40_000)
    trained = train(noise(images=40_000), short, ALONE, callback)
    last = callback.seen[-1]
    assert last.images < 40_000
    assert last.images == last.total == callback.states[-1][1]
    rates = [point["learning_rate"] for point in trained.curve]
    assert rates[-1] < max(rates)
    again = train(noise(images=40_000), short, ALONE, Recorded(callback.states[-1][0]))
    assert len(again.curve) <= len(trained.curve) + 1  # what was spent is remembered


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


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_the_learning_rate_rises_then_goes_as_the_schedule_says(schedule: str) -> None:
    factors = [learning_rate_factor(schedule, step, 100, 0.1) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[10] == 1.0
    if schedule == "constant":
        assert set(factors[10:]) == {1.0}
    else:
        assert all(a > b for a, b in itertools.pairwise(factors[10:]))
        assert factors[-1] < 0.02
