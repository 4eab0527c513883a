"""What a job makes of its params: the samples of a stage."""

from pathlib import Path

import pytest
import torch

from drdd.params import validate
from drdd.stages.paths import CORPORA
from drdd.storage.versions import addresses
from drdd.training.job import Job, build_spec
from tests.corpora import paired_corpus, scene
from tests.project import tiny_params

COUNTS = {"noise": (1, 1), "residual": (3, 1)}


@pytest.mark.parametrize("stage", COUNTS)
def test_shares_are_of_the_residual_stage_alone(workspace: Path, stage: str) -> None:
    """The noise stage, where it learns from pairs, is not trained anew when they change."""
    content = tiny_params()
    content["train"]["noise"] |= {"conditioning": "input", "data": "pairs"}
    content["train"]["residual"]["shares"] = {"haze": 3}
    pairs = {
        name: paired_corpus(name, {"1": (scene(n, 40, 40), scene(n + 1, 40, 40))})
        for n, name in enumerate(("haze", "noise"))
    }
    shards = addresses([CORPORA / name for name in pairs])
    spec = build_spec(Job(stage, validate(content), pairs, shards=shards))
    drawn = [spec.samples.draw(stage, n, torch.Generator()).group for n in range(8)]
    haze, noise = COUNTS[stage]
    assert drawn.count("haze") * noise == drawn.count("noise") * haze
