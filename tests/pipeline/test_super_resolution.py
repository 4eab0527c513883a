"""`dvc repro` with tasks that enlarge: of clean pictures, and of pairs of two sizes."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from drdd.checkpoints.folder import load_model
from drdd.data.library import Library
from drdd.data.pairs import read_pairs
from drdd.evaluation.trajectories import read_samples
from drdd.metrics.fidelity import psnr_rgb
from drdd.pictures.scaling import enlarged, reduced
from drdd.sources.packages import package_file
from drdd.storage.versions import addresses
from tests.project import make_project, must, tiny_params, write_params

pytestmark = pytest.mark.slow

NAMES = ["coffee", "chelsea", "ihc"]
WIDTH, HEIGHT = 120, 96


def _lay_out(root: Path) -> None:
    """Pairs of mine/small and mine/large: 30 x 24 and 120 x 96 pixels."""
    for name in NAMES:
        with Image.open(package_file(f"skimage/data/{name}.png")) as image:
            large = np.asarray(image.convert("RGB").resize((WIDTH, HEIGHT)).rotate(180))
        for side, pixels in (("large", large), ("small", reduced(large, 4))):
            (root / "mine" / side).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / "mine" / side / f"{name}.png")


def test_tasks_that_enlarge_go_all_the_way(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    _lay_out(project)
    content = tiny_params()
    content["paired"] = {
        "mine": {"input": "mine/small", "target": "mine/large", "holdout": ["ihc"], "scale": 4}
    }
    content["tasks"] = {
        "noise": content["tasks"]["noise"],
        "sr2": {"corpora": ["nature"], "scale": 2, "min_psnr_gain": -99.0},
        "sr4": {"paired": ["mine"], "scale": 4, "min_psnr_gain": -99.0},
    }
    content["tasks"]["sr2"]["min_gain_over_reference"] = None
    write_params(project, content)
    must(project, "dvc", "repro", "judge")

    model = load_model(project / "models/candidate")
    assert {name: use.scale for name, use in model.tasks.items()} == {
        "noise": 1,
        "sr2": 2,
        "sr4": 4,
    }
    rows = pd.read_parquet(project / "results/evaluation/images.parquet").set_index("task")
    for task, corpora in (("sr2", "corpora/nature"), ("sr4", "corpora/mine")):
        scale = int(task[-1])
        folders = [project / "data" / corpora, project / f"data/pairs/{task}"]
        library = Library(addresses(folders))
        (pair,) = read_pairs(project / f"data/pairs/{task}/members.csv", "holdout")
        target, small = library.pixels(pair.target), library.pixels(pair.input)
        sides = [side - side % scale for side in target.shape[:2]]
        assert [scale * side for side in small.shape[:2]] == sides
        row = rows.loc[task]
        assert [row["height"], row["width"]] == sides
        inside = target[: sides[0], : sides[1]]
        bicubic = psnr_rgb(enlarged(small, scale), inside)
        assert row["input_psnr_rgb"] == pytest.approx(bicubic, abs=1e-6)
        with Image.open(
            io.BytesIO(read_samples(project / "results/evaluation/trajectories.parquet")[task])
        ) as sample:
            assert sample.size == small.shape[1::-1]
    metrics = json.loads((project / "results/metrics.json").read_text())["tasks"]
    assert metrics["sr2"]["reference_name"] == metrics["sr4"]["reference_name"]
    assert metrics["sr2"]["reference_name"] == "fine_unsharp_mask"
    assert metrics["sr2"]["reference"]["psnr_rgb"] > metrics["sr2"]["input"]["psnr_rgb"]

    for scale in (1, 2, 4):
        named = ["mine/small/ihc.png", "-o", f"out{scale}.png", "--model", "models/candidate"]
        must(project, "drdd", "restore", *named, "--scale", str(scale))
        with Image.open(project / f"out{scale}.png") as output:
            assert output.size == (WIDTH // 4 * scale, HEIGHT // 4 * scale)
