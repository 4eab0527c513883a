"""publish: a version is published whatever its gates; the alias moves only when all are met."""

import json
from pathlib import Path
from typing import Any

import pytest

from drdd.files import write_json
from drdd.params import Params, load
from drdd.progress import Reporter, read_status
from drdd.registry.registry import Registry, Version
from drdd.stages.publish import publish
from tests.project import tiny_params, write_params


def _row(psnr: float, **changes: Any) -> dict[str, Any]:
    scores = {"psnr_rgb": psnr, "psnr_y": psnr, "ssim_rgb": 0.5, "ssim_y": 0.5}
    return {
        "images": 1,
        "held_out": "same",
        "input": scores,
        "output": scores,
        "gain": dict.fromkeys(scores, 1.0),
        "min_psnr_gain": 0.5,
        "max_drop_vs_champion": 0.5,
        "gated": True,
        "passed": True,
    } | changes


@pytest.fixture
def params(workspace: Path) -> Params:
    """A workspace in which everything but publish has run."""
    write_params(workspace, tiny_params())
    for folder in ("models/candidate", "models/residual", "results"):
        Path(folder).mkdir(parents=True)
    Path("models/candidate/model.safetensors").write_bytes(b"weights")
    Path("models/residual/start.json").write_text('{"warm_start": "none", "version": null}')
    Path("results/report.html").write_text("<html>")
    write_json(Path("data/split/card.json"), {})
    for task in tiny_params()["tasks"]:
        card = {"task": task, "train_pairs": 1, "of": 1}
        write_json(Path("data/pairs") / task / "card.json", card)
    Path("dvc.lock").write_text("stages: {evaluate: {}, publish: {}}")
    return load()


def _publish(params: Params, **tasks: dict[str, Any]) -> dict[str, Any]:
    """What published.json says; the candidate is another version each time its metrics are."""
    metrics = {
        "protocol": {"crop_border": 0},
        "tasks": tasks,
        "passed": all(row["passed"] for row in tasks.values()),
    }
    Path("results/metrics.json").write_text(json.dumps(metrics))
    publish(params, Reporter("publish"))
    published: dict[str, Any] = json.loads(Path("results/published.json").read_text())
    return published


def _champion(params: Params) -> Version:
    return Registry.open(params.publish.registry).resolve("champion")


def _said() -> str:
    status = read_status("publish")
    assert status is not None
    return status.note


def test_the_first_version_that_meets_its_gates_becomes_the_champion(params: Params) -> None:
    published = _publish(params, rain=_row(24.0))
    assert published["promoted"] is True
    assert published["against"] is None
    assert published["tasks"]["rain"]["verdict"] == "new"
    assert _champion(params).id == published["version"]
    assert _champion(params).about["start"] == {"warm_start": "none", "version": None}
    assert _said() == f"{published['uri']}, alias champion moved"


def test_a_version_that_is_worse_at_one_old_task_is_published_and_not_promoted(
    params: Params,
) -> None:
    first = _publish(params, rain=_row(24.0), haze=_row(20.0))
    second = _publish(params, rain=_row(23.17), haze=_row(29.0), fog=_row(30.0))
    assert second["promoted"] is False
    assert second["against"] == first["version"]
    assert second["tasks"]["rain"] == {
        "verdict": "fell",
        "before": 24.0,
        "after": 23.17,
        "drop": 0.83,
        "allowance": 0.5,
    }
    assert (second["tasks"]["haze"]["verdict"], second["tasks"]["fog"]["verdict"]) == (
        "kept",
        "new",
    )
    assert _champion(params).id == first["version"]
    said = f"rain fell 0.83 dB below {first['version']} (allowance 0.50)"
    assert second["missed"] == [said]
    assert _said() == f"{second['uri']}, gate missed: {said}, alias champion not moved"
    registry = Registry.open(params.publish.registry)
    assert registry.resolve(second["version"]).about["gate"]["passed"] is False


def test_the_comparison_is_with_the_model_of_the_alias_and_not_with_the_last(
    params: Params,
) -> None:
    first = _publish(params, rain=_row(24.0))
    _publish(params, rain=_row(20.0))
    third = _publish(params, rain=_row(23.6))
    assert (third["against"], third["promoted"]) == (first["version"], True)
    assert _champion(params).id == third["version"]


def test_publishing_the_champion_again_keeps_it(params: Params) -> None:
    first = _publish(params, rain=_row(24.0))
    again = _publish(params, rain=_row(24.0))
    assert (again["version"], again["promoted"]) == (first["version"], True)
    assert again["tasks"]["rain"]["drop"] == 0.0


def test_a_gain_that_is_missed_keeps_the_alias_from_moving(params: Params) -> None:
    published = _publish(params, rain=_row(24.0, min_psnr_gain=2.0, passed=False))
    assert published["promoted"] is False
    assert "rain gained 1.00 dB of the 2.00 needed" in _said()
    assert Registry.open(params.publish.registry).aliases() == {}


def test_what_cannot_be_compared_is_said_and_stops_nothing(params: Params) -> None:
    _publish(params, rain=_row(24.0), gone=_row(24.0), cats=_row(20.0, gated=False))
    second = _publish(params, rain=_row(20.0, held_out="other"), cats=_row(4.0, gated=False))
    assert second["promoted"] is True
    assert "rain: held-out pictures changed, not compared" in _said()
    assert "is gone" in _said()
    assert second["tasks"]["cats"]["verdict"] == "not gated"
