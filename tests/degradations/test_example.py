"""The degradation that the documentation adds works everywhere, from its one place."""

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
import sys
import example
from typer.testing import CliRunner
from drdd.cli.tasks import app
from drdd.errors import UserError
from drdd.params import load, validate, read

print(CliRunner().invoke(app, ["list"], catch_exceptions=False, env={"COLUMNS": "200"}).output)
content = read()
content["tasks"]["poster"]["degradation"] = [{"kind": "posterise", "levels": [1, 3]}]
try:
    validate(content)
except UserError as error:
    print(error)
print("torch" in sys.modules)

import numpy as np
from drdd.degradations.chain import degrade

(step,) = load().tasks["poster"].degradation
ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
print(np.unique(degrade(ramp, [step.model_dump()], 0)))
"""


def test_the_example_is_validated_listed_and_applied(tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(code_of("A degradation"))
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
    assert "posterise" in row
    assert (
        "tasks.poster.degradation.0.levels: [1.0, 3.0] must be [low, high] with 2 <="
        in shown.stdout
    )
    assert "False" in shown.stdout.splitlines(), "torch was imported to read params"
    assert shown.stdout.splitlines()[-1] == "[  0 128 255]"
