"""The model card says of the model what metrics.json and params.yaml say."""

from typing import Any

import yaml

from drdd.gates.judgement import Judgement
from drdd.params import load, validate
from drdd.report.card import model_card
from tests.conftest import ROOT

CORPUS = {
    "corpus": "nature",
    "sources": ["data/photographs/nature"],
    "licence": "CC0",
    "train": 3,
    "holdout": 1,
    "leaked": 2,
    "set_aside": 1,
}


def _scores(psnr: float, ssim: float) -> dict[str, float]:
    return {"psnr_rgb": psnr, "psnr_y": psnr + 1, "ssim_rgb": ssim, "ssim_y": ssim}


def _row() -> dict[str, Any]:
    return {
        "images": 4,
        "input": _scores(20.0, 0.5),
        "output": _scores(22.25, 0.75),
        "gain": _scores(2.25, 0.25),
    }


def _gate(task: str | None, passed: bool, said: str) -> dict[str, Any]:
    return {"gate": "any", "task": task, "needed": 1.0, "passed": passed, "said": said}


STARTS = {"noise": "base", "residual": "0123456789ab"}


def _judged(**content: Any) -> Judgement:
    return Judgement.model_validate({"passed": False, **content})


def test_a_card_holds_every_task_and_corpus_and_how_to_use_the_model() -> None:
    gates = [
        _gate("rain", True, "rain gained enough"),
        _gate("haze", False, "haze gained too little"),
    ]
    metrics = _judged(tasks={"rain": _row(), "haze": _row()}, gates=gates)
    pairs = {"task": "rain", "train_pairs": 12, "of": 48}
    params = load(ROOT / "params.yaml")
    card = model_card(params, metrics, [CORPUS], [pairs], STARTS)
    assert "| rain | 4 | PSNR, RGB (dB) | 20.00 |  | 22.25 | +2.25 |  |" in card
    assert "| haze | 4 | SSIM, RGB | 0.5000 |  | 0.7500 | +0.2500 |  |" in card
    assert "- passed: rain gained enough" in card
    assert "- missed: haze gained too little" in card
    assert "`nature` from `data/photographs/nature`: 3 images to train, 1 held out" in card
    assert "12 of 48" in card
    said = "Training began: the noise stage from the base that ships with drdd, the residual stage from"
    assert f"{said} `0123456789ab`. All settings" in card
    random = model_card(params, metrics, [CORPUS], [pairs], {"residual": "scratch"})
    assert "Training began: the residual stage from random weights." in random
    where = f'from_pretrained("{params.publish.registry}@champion")'
    for said in (
        "2606.01048",
        "Apache-2.0",
        "drdd restore",
        "drdd models pull",
        "## Limits",
        where,
    ):
        assert said in card


def test_a_reference_is_a_column_and_empty_where_a_task_has_none() -> None:
    with_one = _row() | {"reference": {"psnr_rgb": 21.5}, "reference_name": "dark_channel"}
    metrics = _judged(tasks={"haze": with_one, "rain": _row()})
    card = model_card(load(ROOT / "params.yaml"), metrics, [], [], STARTS)
    assert "| haze | 4 | PSNR, RGB (dB) | 20.00 | 21.50 | 22.25 | +2.25 |  |" in card
    assert "| rain | 4 | PSNR, RGB (dB) | 20.00 |  | 22.25 | +2.25 |  |" in card
    assert "References, without training: `haze`: dark channel." in card


def test_a_card_begins_with_front_matter() -> None:
    params = load(ROOT / "params.yaml")
    card = model_card(params, _judged(), [], [], STARTS)
    _, matter, rest = card.split("---\n", 2)
    said = yaml.safe_load(matter)
    assert said["license"] == "apache-2.0"
    assert said["library_name"] == "drdd"
    assert set(params.tasks) < set(said["tags"])
    assert rest.startswith("\n# DRDD")


def test_intervals_gates_and_what_was_not_computed_are_said_where_there_are_any() -> None:
    row = _row() | {"intervals": {"gain": {"psnr_rgb": [1.9, 2.6]}}}
    gates = [_gate(None, False, "p95 is 3 s of 2 s"), _gate("rain", True, "rain gained enough")]
    metrics = _judged(tasks={"rain": row}, gates=gates, not_computed={"fid": "no weights"})
    card = model_card(load(ROOT / "params.yaml"), metrics, [], [], STARTS)
    assert "| rain | 4 | PSNR, RGB (dB) | 20.00 |  | 22.25 | +2.25 | +1.90 to +2.60 |" in card
    assert "- missed: p95 is 3 s of 2 s\n- passed: rain gained enough" in card
    assert "- FID was not computed: no weights" in card
    none = model_card(load(ROOT / "params.yaml"), _judged(), [], [], STARTS)
    assert "None was asked for." in none


def test_a_card_says_by_what_the_model_enlarges() -> None:
    params = load(ROOT / "params.yaml")
    content = params.model_dump()
    content["tasks"]["sr4"] = {"corpora": ["nature"], "scale": 4}
    for given, said in ((params, False), (validate(content), True)):
        card = model_card(given, _judged(), [], [], STARTS)
        assert ("It enlarges: `sr4` by 4; `Options(scale=4)`" in card) == said
