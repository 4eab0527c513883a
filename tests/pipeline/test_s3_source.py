"""Corpora and pairs that lie on S3: DVC watches them there, and a changed object reruns what read it."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drdd.storage.filesystems import open_filesystem
from tests.corpora import encoded, scene
from tests.project import make_project, must, tiny_params, write_params

pytestmark = pytest.mark.slow


def test_sources_on_s3_are_taken_in_and_watched(
    tmp_path: Path,
    s3: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    store, _ = open_filesystem("s3://drdd/watched")
    for n in range(3):
        pixels = scene(n, 80, 96)
        store.pipe_file(f"drdd/watched/clean/{n}.png", encoded(Image.fromarray(pixels), "PNG"))
        dark = Image.fromarray((pixels // np.uint8(3)).astype(np.uint8))
        store.pipe_file(f"drdd/watched/dark/{n}.png", encoded(dark, "PNG"))

    project = make_project(tmp_path / "project")
    content = tiny_params()
    content["corpora"]["far"] = {"source": "s3://drdd/watched/clean", "holdout": 0.0}
    content["paired"] = {
        "dark": {"input": "s3://drdd/watched/dark", "target": "s3://drdd/watched/clean"}
    }
    write_params(project, content)

    def ran() -> set[str]:
        output = must(project, "dvc", "repro", "ingest@far", "ingest_pairs@dark", **s3)
        return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running")}

    assert {"ingest@far", "ingest_pairs@dark"} <= ran()
    assert json.loads((project / "data/corpora/dark/card.json").read_text())["pairs"] == 3
    assert ran() == set()
    store.pipe_file("drdd/watched/clean/3.png", encoded(Image.fromarray(scene(9, 80, 96)), "PNG"))
    assert ran() == {"ingest@far", "ingest_pairs@dark"}
    assert json.loads((project / "data/corpora/far/card.json").read_text())["pictures"] == 4
    assert "3.png" in (project / "data/corpora/dark/quarantine.csv").read_text()
