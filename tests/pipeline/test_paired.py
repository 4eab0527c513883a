"""`dvc repro` on pairs that a user brings: two folders, an archive, and scenes that do not match."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from drdd.data.pairs import read_pairs
from drdd.sources.packages import package_file
from tests.project import make_project, must, run, tiny_params, write_params

pytestmark = pytest.mark.slow

NAMES = ["astronaut", "coffee", "chelsea", "ihc"]


def _photograph(name: str, turn: int = 0) -> np.ndarray:
    with Image.open(package_file(f"skimage/data/{name}.png")) as image:
        return np.rot90(np.asarray(image.convert("RGB").resize((120, 96))), turn)


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)


def _lay_out(root: Path) -> dict[str, Any]:
    """Params of three paired corpora and a task for each."""
    for name in NAMES:
        clean = _photograph(name)
        _save(root / f"mine/folders/dark/{name}.png", clean // 3)
        _save(root / f"mine/folders/bright/{name}.png", clean)
        _save(root / f"mine/red/{name}.png", clean[::2, ::2])
        _save(root / f"mine/turned/{name}_other.png", _photograph(name, 1)[:, ::-1])
    with zipfile.ZipFile(root / "mine/set.zip", "w") as archive:
        for n, name in enumerate(NAMES):
            for side, pixels in (("flat", _photograph(name) // 2 + 60), ("gt", _photograph(name))):
                _save(root / "scratch.png", pixels[::-1])
                archive.write(root / "scratch.png", f"set/{side}/{n:04d}_{side}.png")
    (root / "scratch.png").unlink()
    folders, archive_, odd = "mine/folders", "mine/set.zip", {"holdout": 0.5}
    return {
        "dark": {"input": f"{folders}/dark", "target": f"{folders}/bright", "holdout": ["ihc"]},
        "flat": {
            "input": archive_,
            "target": archive_,
            "match": {"input": r"flat/(\d+)_flat", "target": r"gt/(\d+)_gt"},
            "holdout": ["0003"],
        },
        "other": {"input": "mine/red", "target": "mine/turned", "aligned": False, **odd},
    }


def test_pairs_of_every_kind_go_all_the_way(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    content = tiny_params()
    content["ingest"]["min_side"] = 32
    content["paired"] = _lay_out(project)
    content["tasks"] = {
        name: {"paired": [name], "min_psnr_gain": -99.0} for name in content["paired"]
    }
    content["tasks"]["noise"] = tiny_params()["tasks"]["noise"]
    write_params(project, content)
    must(project, "dvc", "repro")

    metrics = json.loads((project / "results/metrics.json").read_text())["tasks"]
    assert set(metrics) == {"dark", "flat", "other", "noise"}
    assert metrics["other"]["gated"] is False
    assert all(metrics[name]["gated"] for name in ("dark", "flat", "noise"))
    # nature holds the cat out, so no task may learn from it; upside down it is another scene.
    for name, trained, held in (
        ("dark", {"astronaut", "coffee"}, {"ihc"}),
        ("flat", {"0000", "0001", "0002"}, {"0003"}),
    ):
        pairs = read_pairs(project / f"data/pairs/{name}/members.csv")
        assert {pair.name for pair in pairs if pair.split == "train"} == trained
        assert {pair.name for pair in pairs if pair.split == "holdout"} == held
    leaks = pd.read_csv(project / "data/split/leakage.csv")
    assert ("dark/chelsea", "nature/chelsea.png") in set(
        zip(leaks["training"], leaks["held_out"], strict=True)
    )
    assert "up to date" in must(project, "dvc", "repro")

    _save(project / "mine/folders/dark/coffee.png", _photograph("coffee")[:50])
    refused = run(project, "dvc", "repro", "ingest_pairs@dark")
    assert refused.returncode != 0
    assert (
        "pair coffee: input/coffee.png is 120 x 50 and target/coffee.png is 120 x 96"
        in refused.stdout
    )
