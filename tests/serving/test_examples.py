"""The commands of docs/serving.md as they stand there, against a service that runs."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drdd.params import Serve
from drdd.serving.http import make_api
from drdd.serving.models import Models, load_checked
from drdd.serving.published import FromFolder
from drdd.serving.restoring import Restoring
from tests.corpora import encoded, scene
from tests.inference.test_engine import make_model
from tests.serving.fakes import LIMITS, running

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"
BLOCKS = re.findall(r"^```\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
COMMANDS = [block for block in BLOCKS if "curl" in block]
PICTURE = scene(0, 40, 56)
SIZES = {
    "restored.png": (56, 40),
    "restored.webp": (56, 40),
    "mended.png": (56, 40),
    "map.png": (56, 40),
    "large.png": (112, 80),
    "shared.png": (56, 40),
}


@pytest.mark.slow
def test_what_the_page_shows_works(tmp_path: Path) -> None:
    for tool in ("bash", "curl", "jq"):
        assert shutil.which(tool), f"the examples of the API need {tool}: apt-get install {tool}"
    assert len(COMMANDS) == 3
    models = Models(
        ["champion"], FromFolder(make_model(tmp_path / "m", scales=(1, 2))), load_checked
    )
    models.start()
    work = tmp_path / "work"
    work.mkdir()
    for name, format_ in (("rain.jpg", "JPEG"), ("photo.jpg", "JPEG"), ("small.png", "PNG")):
        (work / name).write_bytes(encoded(Image.fromarray(PICTURE), format_))
    hole = np.zeros((40, 56), np.uint8)
    hole[10:20, 12:40] = 255
    (work / "scratches.png").write_bytes(encoded(Image.fromarray(hole), "PNG"))
    printed = ""
    with running(make_api(Restoring(models, Serve()), LIMITS, {})) as url:
        for block in COMMANDS:
            script = "set -euo pipefail\n" + block.replace("http://127.0.0.1:8000", url)
            script = script.replace("curl ", "curl --silent --show-error --fail ")
            told = subprocess.run(
                ["bash", "-c", script], cwd=work, capture_output=True, text=True, timeout=120
            )
            assert told.returncode == 0, (block, told.stderr)
            made = {path.name for path in work.iterdir()} & SIZES.keys()
            assert made
            for name in made:
                with Image.open(work / name) as image:
                    image.load()
                    assert image.size == SIZES[name]
                (work / name).unlink()
            printed += told.stdout
    assert "noised input" in printed
    assert printed.splitlines()[-1] != "true"
