"""The pipeline again, with its residual stage begun from the champion that it published."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.project import must, run, tiny_params, write_params

pytestmark = pytest.mark.slow


def test_the_residual_stage_begins_from_the_champion(finished: Path, tmp_path: Path) -> None:
    root = shutil.copytree(finished, tmp_path / "copy")
    champion = json.loads((root / "results/published.json").read_text())["version"]
    noise = (root / "models/noise/weights.safetensors").read_bytes()
    cold = pd.read_csv(root / "models/residual/curve.csv")["loss"][0]

    content = tiny_params()
    content["train"]["residual"]["warm_start"] = "champion"
    write_params(root, content)
    output = must(root, "dvc", "repro")
    assert f"begins from the residual network of {champion} (champion in published)" in output
    ran = {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
    assert ran == {"check", "train_residual", "evaluate", "publish"}
    assert pd.read_csv(root / "models/residual/curve.csv")["loss"][0] < cold
    assert (root / "models/noise/weights.safetensors").read_bytes() == noise
    start = json.loads((root / "models/residual/start.json").read_text())
    assert start == {"warm_start": "champion", "version": champion}
    published = json.loads((root / "results/published.json").read_text())
    assert published["against"] == champion
    assert {row["verdict"] for row in published["tasks"].values()} <= {"kept", "fell"}
    # The alias has moved, and yet nothing is out of date: the champion is no dependency.
    assert "Data and pipelines are up to date" in must(root, "dvc", "repro")

    content["train"]["residual"]["network"]["channels"] = [8, 24]
    write_params(root, content)
    refused = run(root, "dvc", "repro", "train_residual")
    assert refused.returncode != 0
    assert "expected (8, 24); make train.residual.network equal" in refused.stdout
    assert "Traceback" not in refused.stdout
