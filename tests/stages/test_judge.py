"""judge: verdicts against the gates and the model of the alias, and the report that shows them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

from drdd.errors import UserError
from drdd.evaluation.side_by_side import Comparison, write_comparison
from drdd.evaluation.trajectories import read_trajectories
from drdd.gates.catalogue import TASK_GATES
from drdd.gates.gate import TaskGate, Verdict
from drdd.params import Params, Task, load
from drdd.progress import Reporter
from drdd.registry.registry import Registry
from drdd.stages.judge import judge
from drdd.stages.paths import (
    COMPARISON,
    GAIN,
    GRID,
    IMAGES,
    LATENCY,
    METRICS,
    REPORT,
    SUMMARY,
    TRAJECTORIES,
)
from drdd.stages.publish import publish
from drdd.storage.objects import Store
from tests.conftest import ROOT
from tests.project import tiny_params, write_params
from tests.report.findings import side_by_side
from tests.stages.evaluated import evaluate, prepare

GOOD, BETTER, WORSE = ({"haze": q, "noise": 0.6} for q in (0.5, 0.7, 0.3))


@pytest.fixture
def params(workspace: Path) -> Params:
    return prepare(workspace)


def _judge(params: Params) -> dict[str, Any]:
    judge(params, Reporter("judge"))
    found: dict[str, Any] = json.loads(METRICS.read_text())
    return found


def _publish(params: Params) -> dict[str, Any]:
    publish(params, Reporter("publish"))
    found: dict[str, Any] = json.loads(Path("results/published.json").read_text())
    return found


def test_a_first_version_has_nothing_to_be_compared_with(params: Params) -> None:
    evaluate(b"one", GOOD)
    metrics = _judge(params)
    assert metrics["against"] is None
    assert metrics["passed"] is True
    assert metrics["tasks"]["noise"]["images"] == 3
    assert metrics["tasks"]["noise"]["gain"]["psnr_rgb"] > 3
    assert "lpips" in metrics["not_computed"]
    assert set(pd.read_csv(GAIN)["task"]) == {"haze", "noise"}
    assert json.loads(SUMMARY.read_text())["psnr_gain"]["mean"] == pytest.approx(
        metrics["mean"]["gain"]["psnr_rgb"]
    )
    page = REPORT.read_text()
    assert "nature/a.png" in page
    assert "first version" in page
    assert GRID.read_bytes()[:4] == b"\x89PNG"


def test_what_evaluate_writes_of_each_picture(params: Params) -> None:
    evaluate(b"one", GOOD)
    scores = pd.read_parquet(IMAGES)
    assert list(scores["image"]) == [f"nature/{n}.png" for n in "abc"] * 2
    assert (scores["seed"] == 0).all()
    latency = pd.read_parquet(LATENCY)
    assert (latency["seconds"] == 0.25).all()
    assert list(latency["image"]) == list(scores["image"])
    assert (scores["deresidual_psnr_rgb"] < scores["output_psnr_rgb"]).all()
    assert (scores["input_psnr_rgb"] < scores["deresidual_psnr_rgb"]).all()
    trajectories = read_trajectories(TRAJECTORIES)
    assert {task: [s.kind for s in kept] for task, kept in trajectories.items()} == dict.fromkeys(
        ("haze", "noise"), ["first"] * 3 + ["worst"] * 3
    )
    first = trajectories["haze"][0]
    assert [name for name, _ in first.states] == ["noised input", "de-residual 1", "de-noise 1"]
    assert np.abs(first.states[-1][1].astype(int) - first.output).max() == 0
    assert first.input.shape == (48, 64, 3)
    gains = [one.gain for one in trajectories["haze"] if one.kind == "worst"]
    assert gains == sorted(gains)
    before = TRAJECTORIES.read_bytes(), IMAGES.read_bytes(), GRID.read_bytes()
    evaluate(b"one", GOOD)
    assert before == (TRAJECTORIES.read_bytes(), IMAGES.read_bytes(), GRID.read_bytes())


def test_a_candidate_is_compared_picture_by_picture_with_the_champion(params: Params) -> None:
    evaluate(b"one", GOOD)
    _judge(params)
    first = _publish(params)
    assert (first["promoted"], first["against"], first["missed"]) == (True, None, [])
    evaluate(b"two", WORSE)
    metrics = _judge(params)
    assert metrics["against"] == first["version"]
    found = metrics["tasks"]["haze"]["champion"]
    assert (found["verdict"], found["images"]) == ("fell", 3)
    assert found["interval"][0] <= found["drop"] <= found["interval"][1]
    assert metrics["tasks"]["noise"]["champion"]["drop"] == 0
    second = _publish(params)
    said = f"haze fell {found['drop']:.2f} dB below {first['version'][:12]} (allowance 0.50)"
    assert (second["promoted"], second["missed"]) == (False, [said])
    assert said in REPORT.read_text()
    registry = Registry.open(params.publish.registry)
    assert registry.aliases.all() == {"champion": first["version"]}
    assert registry.resolve(second["version"]).about["metrics"]["passed"] is False
    evaluate(b"three", BETTER)
    assert _judge(params)["against"] == first["version"]
    third = _publish(params)
    assert third["promoted"] is True
    assert registry.aliases.all() == {"champion": third["version"]}


def test_judging_the_champion_again_gives_the_same_bytes(params: Params) -> None:
    for weights, quality in ((b"one", GOOD), (b"two", BETTER)):
        evaluate(weights, quality)
        _judge(params)
        published = _publish(params)
    before = METRICS.read_bytes(), REPORT.read_bytes()
    _judge(params)
    assert before == (METRICS.read_bytes(), REPORT.read_bytes())
    assert _publish(params) == published


def test_the_same_model_with_other_params_takes_over_from_itself(
    params: Params, workspace: Path
) -> None:
    evaluate(b"one", GOOD)
    _judge(params)
    first = _publish(params)
    content = tiny_params()
    content["tasks"]["haze"]["min_psnr_gain"] = -50.0
    write_params(workspace, content)
    assert _judge(load())["against"] is None
    second = _publish(load())
    assert second["promoted"] is True
    assert second["version"] != first["version"]
    registry = Registry.open(params.publish.registry)
    assert registry.aliases.all() == {"champion": second["version"]}
    evaluate(b"two", BETTER)
    assert _judge(load())["against"] == second["version"]


def test_an_alias_whose_version_is_lost_is_moved(params: Params) -> None:
    registry = Registry.open(params.publish.registry)
    lost = registry.publish({"model.safetensors": b"lost"}, {})
    registry.aliases.move("champion", lost.id)
    Store(registry.uri).delete(f"versions/{lost.id}/manifest.json")
    evaluate(b"one", GOOD)
    assert _judge(params)["against"] is None
    assert _publish(params)["promoted"] is True


def test_the_report_says_which_settings_differ(params: Params, workspace: Path) -> None:
    evaluate(b"one", GOOD)
    _judge(params)
    _publish(params)
    content = tiny_params()
    content["tasks"]["haze"]["pairs"] = 0.25
    write_params(workspace, content)
    evaluate(b"two", GOOD)
    _judge(load())
    page = REPORT.read_text()
    assert "tasks.haze.pairs" in page
    assert "0.25" in page


def test_a_gate_on_latency(params: Params, workspace: Path) -> None:
    evaluate(b"one", GOOD)
    for most, passed in ((0.3, True), (0.2, False)):
        content = tiny_params() | {"gates": {"max_latency_p95": most}}
        write_params(workspace, content)
        assert _judge(load())["passed"] is passed


def test_a_champion_that_was_never_evaluated_is_said(params: Params) -> None:
    registry = Registry.open(params.publish.registry)
    bare = registry.publish({"model.safetensors": b"bare"}, {})
    registry.aliases.move("champion", bare.id)
    evaluate(b"one", GOOD)
    metrics = _judge(params)
    assert metrics["against"] == bare.id
    assert "haze: not evaluated, not compared" in metrics["notes"]
    assert _publish(params)["promoted"] is True


def test_a_champion_whose_scores_are_damaged_is_said(params: Params) -> None:
    evaluate(b"one", GOOD)
    _judge(params)
    version = _publish(params)["version"]
    Store(params.publish.registry).put(f"versions/{version}/images.parquet", b"other")
    evaluate(b"two", GOOD)
    with pytest.raises(UserError, match=r"images\.parquet is missing or damaged"):
        _judge(params)


def test_a_champion_whose_scores_are_no_table_is_said(params: Params) -> None:
    registry = Registry.open(params.publish.registry)
    odd = registry.publish({"images.parquet": b"a page that says no"}, {})
    registry.aliases.move("champion", odd.id)
    evaluate(b"one", GOOD)
    with pytest.raises(UserError, match=r"images\.parquet is no table .*`drdd models rollback`"):
        _judge(params)


def test_an_alias_that_moved_since_is_not_moved_unseen(params: Params) -> None:
    evaluate(b"one", GOOD)
    _judge(params)
    registry = Registry.open(params.publish.registry)
    other = registry.publish({"model.safetensors": b"another publisher's"}, {})
    registry.aliases.move("champion", other.id)
    published = _publish(params)
    assert published["promoted"] is False
    (said,) = published["missed"]
    assert said.startswith(f"champion points to {other.id[:12]} since this candidate was compared")
    assert registry.aliases.all() == {"champion": other.id}
    assert registry.resolve(published["version"])


def test_pictures_beside_another_champion_are_not_shown(params: Params) -> None:
    evaluate(b"one", GOOD)
    _judge(params)
    champion = _publish(params)["version"]
    evaluate(b"two", BETTER)
    pictures = (side_by_side("haze", "nature/shown.png"),)
    write_comparison(COMPARISON, Comparison(champion, (), pictures))
    _judge(params)
    assert "nature/shown.png" in REPORT.read_text()
    write_comparison(COMPARISON, Comparison("0c4a3f15" * 8, (), pictures))
    _judge(params)
    page = REPORT.read_text()
    assert "nature/shown.png" not in page
    assert "the alias has moved since they were made, for 0c4a3f150c4a" in page
    assert "`dvc repro -f -s compare`, then `dvc repro`, makes them anew" in page


def test_what_is_not_to_be_promoted_is_published_and_compared_with_the_champion(
    params: Params,
) -> None:
    evaluate(b"one", GOOD)
    _judge(params)
    champion = _publish(params)
    only = params.publish.model_copy(update={"promote": False})
    params = params.model_copy(update={"publish": only})
    evaluate(b"two", BETTER)
    assert _judge(params)["against"] == champion["version"]
    trial = _publish(params)
    assert (trial["asked"], trial["promoted"], trial["missed"]) == (False, False, [])
    registry = Registry.open(params.publish.registry)
    assert registry.aliases.all() == {"champion": champion["version"]}
    assert registry.version(trial["version"]) is not None


class MinPsnr(BaseModel):
    min_psnr: float = 30.0


MIN_PSNR = TaskGate(
    name="min_psnr",
    label="PSNR",
    bound="at least",
    unit="dB",
    judge=lambda evidence, bound: Verdict(
        evidence.result.output["psnr_rgb"],
        evidence.result.output["psnr_rgb"] >= bound,
        f"{evidence.task} is below {bound:g} dB",
    ),
)


class GatedTask(MinPsnr, Task):
    """What drdd.gates.catalogue.TaskBounds makes of a gate's settings."""


def test_a_gate_of_one_file_decides_promotion(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TASK_GATES, MIN_PSNR.name, MIN_PSNR)
    evaluate(b"one", GOOD)
    for bound, promoted in ((1000.0, False), (1.0, True)):
        tasks = {
            name: GatedTask(**dict(task), min_psnr=bound) for name, task in params.tasks.items()
        }
        asked = params.model_copy(update={"tasks": tasks})
        assert _judge(asked)["passed"] is promoted
        said = "haze is below 1000 dB"
        assert ("at least 1000.00 dB" in REPORT.read_text()) is not promoted
        published = _publish(asked)
        assert published["promoted"] is promoted
        assert (said in published["missed"]) is not promoted
        card = Path(params.publish.registry, "versions", published["version"], "README.md")
        assert (f"- missed: {said}" in card.read_text()) is not promoted


def test_a_champion_whose_metrics_cannot_be_read_is_said(params: Params) -> None:
    evaluate(b"one", GOOD)
    registry = Registry.open(params.publish.registry)
    odd = registry.publish({"images.parquet": IMAGES.read_bytes()}, {"metrics": {"tasks": "many"}})
    registry.aliases.move("champion", odd.id)
    evaluate(b"two", GOOD)
    assert "haze: its metrics.json cannot be read, not compared" in _judge(params)["notes"]
    assert _publish(params)["promoted"] is True


def test_judge_starts_without_torch() -> None:
    said = "import sys, drdd.stages.judge; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    subprocess.run([sys.executable, "-c", said], check=True, cwd=ROOT)
