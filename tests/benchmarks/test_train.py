"""What training is measured against learns the same, and what is taken apart adds up again."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from benchmarks import gpu
from benchmarks.baseline_loop import LAP, BaselineLoop
from benchmarks.fit_timing import run_of
from benchmarks.interleaved import ratio
from benchmarks.starting import StartTimes
from benchmarks.train import on_gpu
from benchmarks.train_tables import overheads, scaling
from drdd.training.history import Progress
from drdd.training.learner import Worker
from drdd.training.loop import Plan, TrainerCallback, train
from drdd.training.specs import StageSpec
from tests.conftest import ROOT
from tests.training.tiny import noise, residual, settings

PLAN = Plan(steps=1000, point=10, checkpoint=200, validation=200)
CPU = torch.device("cpu")


@pytest.mark.parametrize("make", [noise, residual])
def test_the_bare_loop_learns_what_ours_learns(make: Callable[[], StageSpec]) -> None:
    constant = settings(schedule="constant", warmup=0.0, precision="float32")
    ours = train(make(), constant, Worker())
    baseline = BaselineLoop(make(), constant)
    laps = list(baseline.laps())
    assert len(laps) == constant.images // constant.batch // LAP
    assert all(lap > 0 for lap in laps)
    assert set(baseline.ema) == set(ours.weights)
    for name, value in ours.weights.items():
        torch.testing.assert_close(baseline.ema[name], value, rtol=1e-3, atol=1e-5)


def test_a_ratio_is_of_what_was_measured_in_the_same_round() -> None:
    slowing = [[1.0, 1.0, 9.0], [2.0, 2.0, 2.0], [4.0, 4.0, 4.0]]
    ours = [[1.1 * lap for lap in turn] for turn in slowing]
    assert vars(ratio(ours, slowing)).values() == pytest.approx([1.1, 1.1, 1.1])
    of = ratio([[3.0], [1.0], [2.0]], [[1.0], [1.0], [1.0]])
    assert (of.usual, of.least, of.most) == (2.0, 1.0, 3.0)
    with pytest.raises(ValueError, match="argument"):
        ratio(ours, slowing[:2])


def test_the_phases_of_a_start_add_up() -> None:
    phases = StartTimes(100.0, 103.0, 104.0, 107.0, 113.0, 114.5).phases()
    assert list(phases.values()) == [3.0, 1.0, 3.0, 6.0, 1.5, 14.5, 10.5]
    assert phases["process"] == sum(list(phases.values())[:5])


def _points(seconds: list[float], batch: int) -> list[dict[str, float]]:
    return [
        {"images": LAP * batch * n, "images_per_second": batch / step, "waiting": n / 100}
        for n, step in enumerate(seconds, start=1)
    ]


def test_a_run_is_taken_apart_into_laps_checkpoints_and_points() -> None:
    steps, batch, between = [9.0, 0.2, 0.3, 0.2, 0.3, 0.2], 4, 0.05
    lap = LAP * batch
    clock = [LAP * sum(steps[:n]) + n * between for n in range(7)]
    saved = {n * lap: clock[n] for n in (2, 4, 6)}
    run = run_of(_points(steps, batch), batch, saved, [15])
    assert run.plain == pytest.approx([0.2, 0.2, 0.2])
    assert run.saving == pytest.approx([0.3, 0.3])
    assert run.between == pytest.approx(between)
    assert run.waiting == pytest.approx([0.02, 0.03, 0.04, 0.05, 0.06])


def test_overheads_are_those_of_the_plan() -> None:
    run = {"plain": [0.2, 0.2], "saving": [0.3, 0.3], "between": 0.05}
    found = {"bare": [[0.1]], "loop": [[0.1]], "loop, niced": [[0.1]], "fitted": [run]}
    rows = list(overheads(found, PLAN).values())
    assert rows[3] == [[0.2, 0.2]]
    assert rows[4] == [pytest.approx([0.2 + LAP * 0.1 / 200] * 2)]
    assert rows[5] == [pytest.approx([0.2 + LAP * 0.1 / 200 + 0.05 / 10] * 2)]


def test_two_workers_that_take_half_the_time_are_twice_as_fast() -> None:
    one, two = {"plain": [0.4, 0.4]}, {"plain": [0.2, 0.2]}
    found = {"bare": [[0.3]], "fitted": [one], "fitted, 2 workers": [two]}
    faster, than_bare = scaling(found).values()
    assert (faster.usual, than_bare.usual) == pytest.approx((2.0, 1.5))


@pytest.mark.parametrize("case", gpu.CASES)
def test_the_cases_of_a_gpu_are_the_papers_networks_at_their_crop(case: str) -> None:
    spec, settings = gpu.stage(case, {"batch": 2, "images": 20})
    assert settings.precision == "bf16"
    assert spec.draw(range(2)).batch.target.shape == (2, 3, 256, 256)
    with torch.device("meta"):
        assert sum(value.numel() for value in spec.make().parameters()) > 30_000_000


def test_a_batch_that_does_not_fit_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fits_eight(
        spec: object, settings: gpu.TrainNoise, worker: Worker, callback: TrainerCallback
    ) -> None:
        tried.append((settings.batch, settings.compile))
        if settings.batch > 8:
            raise torch.OutOfMemoryError
        for n in range(3):
            point = {
                "images_per_second": 2.0 + n,
                "waiting": 0,
                "utilisation": 0.5,
                "memory_gib": 3,
            }
            callback.report(Progress(n, 3, point))

    monkeypatch.setattr(gpu, "train", fits_eight)
    monkeypatch.setattr(torch.compiler, "reset", lambda: None)  # imports all of TorchDynamo
    found = gpu.measured(CPU)
    assert tried == 2 * [(32, False), (16, False), (8, False), (8, True)]
    assert {taken["batch"] for taken in found.values()} == {8}
    assert {taken["images_per_second"] for taken in found.values()} == {3.5}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_cuda_device_one_sentence_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    on_gpu()
    assert capsys.readouterr().out == "There is no CUDA device here: nothing was measured.\n"


def test_a_gpu_is_measured_without_ray() -> None:
    without = (
        "import sys; sys.modules |= dict.fromkeys(('ray', 'dvc', 'prefect', 'rich', 'dvclive'))"
    )
    code = f"{without}; import benchmarks.train, benchmarks.gpu"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
