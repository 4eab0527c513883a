"""The model card says of the model what metrics.json and params.yaml say."""

from typing import Any

from drdd.params import load
from drdd.registry.card import model_card
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


def _row(passed: bool) -> dict[str, Any]:
    return {
        "images": 4,
        "input": _scores(20.0, 0.5),
        "output": _scores(22.25, 0.75),
        "gain": _scores(2.25, 0.25),
        "min_psnr_gain": 1.5,
        "gated": True,
        "passed": passed,
    }


def test_a_card_holds_every_task_and_corpus_and_how_to_use_the_model() -> None:
    metrics = {"tasks": {"rain": _row(True), "haze": _row(False)}, "passed": False}
    pairs = {"task": "rain", "train_pairs": 12, "of": 48}
    params = load(ROOT / "params.yaml")
    card = model_card(params, metrics, [CORPUS], [pairs], "0123456789ab")
    assert "| rain | 4 | 20.00 → 22.25 | +2.25 | +1.50 | 0.500 → 0.750 | passed |" in card
    assert "| haze | 4 | 20.00 → 22.25 | +2.25 | +1.50 | 0.500 → 0.750 | missed |" in card
    assert "`nature` from `data/photographs/nature`: 3 images to train, 1 held out" in card
    assert "12 of 48" in card
    assert "residual stage began from version `0123456789ab`" in card
    assert "began from random weights" in model_card(params, metrics, [CORPUS], [pairs])
    for said in ("2606.01048", "Apache-2.0", "drdd restore", "drdd models pull", "## Limits"):
        assert said in card
