"""The reference that the documentation adds works everywhere, from its one place."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.examples import code_of

TASK = """
  poster:
    corpora: [nature]
    degradation: [{kind: posterise, levels: [3, 3]}]
"""
USE = """
import degradation, example
from typer.testing import CliRunner
from drdd.cli.tasks import app
from drdd.params import load

print(CliRunner().invoke(app, ["list"], catch_exceptions=False, env={"COLUMNS": "200"}).output)

import numpy as np
from drdd.degradations.chain import degrade
from drdd.references.catalogue import REFERENCES

task = load().tasks["poster"]
ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
banded = degrade(ramp, [step.model_dump() for step in task.degradation], 0)
restored = REFERENCES[task.reference_name()].restore(banded)
print(np.abs(banded.astype(int) - ramp).mean() > np.abs(restored.astype(int) - ramp).mean())
"""


def test_the_example_is_chosen_listed_and_applied(tmp_path: Path) -> None:
    (tmp_path / "degradation.py").write_text(code_of("A degradation"))
    (tmp_path / "example.py").write_text(code_of("A reference"))
    params = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(params.replace("\ntasks:", f"\ntasks:{TASK}", 1))
    shown = subprocess.run(
        [sys.executable, "-c", USE],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    (row,) = [line for line in shown.stdout.splitlines() if line.split()[:1] == ["poster"]]
    assert "smoothed_bands" in row
    assert shown.stdout.splitlines()[-1] == "True"
