"""The wheel alone in a fresh environment: restores pictures, reads a registry, and says what it lacks."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drdd.pictures.files import png
from drdd.registry.registry import Registry
from infra.base.pack import pack
from tests.conftest import ROOT
from tests.corpora import scene
from tests.inference.test_engine import make_model
from tests.project import BIN, environment

pytestmark = [pytest.mark.slow, pytest.mark.gate]
UV = str(BIN / "uv")
ABSENT = ("ray", "dvc", "prefect", "fastapi", "pyarrow", "pandas", "skimage", "supervisor")
RESTORE = """
import sys
import drdd
assert "torch" not in sys.modules
import numpy as np
from PIL import Image
picture = np.asarray(Image.open("photo.png"))
restored = drdd.Restorer.from_pretrained(sys.argv[1]).restore(picture, drdd.Options(seed=3))
assert isinstance(restored, drdd.Restoration)
Image.fromarray(restored.output).save("by_python.png")
for name in drdd.__all__:
    getattr(drdd, name)
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel, and what it requires without extras."""
    folder = tmp_path_factory.mktemp("plain")
    # A copy: setuptools leaves a folder `build` beside what it builds, and takes its old files into wheels.
    for name in ("drdd", "flows", "infra"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    pack(make_model(folder / "tiny"), folder / "source/drdd/base/model")  # a quick base
    python = ("--python", sys.executable)
    _must(
        "build",
        "--quiet",
        "--wheel",
        "--no-build-isolation",
        *python,
        "-o",
        folder,
        folder / "source",
    )
    _must("venv", "--quiet", *python, folder / "venv")
    links = [part for link in _find_links() for part in ("--find-links", link)]
    (wheel,) = folder.glob("*.whl")
    python = ("--python", str(folder / "venv/bin/python"))
    (folder / "torch.txt").write_text(f"torch=={version('torch')}\n")
    pins = ("-c", ROOT / "requirements.lock", "-c", folder / "torch.txt")
    _must("pip", "install", "--quiet", *python, *links, *pins, wheel)
    with zipfile.ZipFile(wheel) as content:
        assert "drdd/py.typed" in content.namelist()
    return folder / "venv/bin"


def _must(*arguments: object) -> None:
    done = subprocess.run([UV, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _find_links() -> list[str]:
    """Folders of wheels that pip is configured with, as infra/setup/install.sh asks for them."""
    command = [sys.executable, "-m", "pip", "config", "get", "global.find-links"]
    return subprocess.run(command, capture_output=True, text=True).stdout.split()


@pytest.fixture
def folder(workspace: Path) -> Path:
    """With a picture, a model, and a registry that has it as champion."""
    (workspace / "photo.png").write_bytes(png(scene(0, 40, 56)))
    model = make_model(workspace / "model")
    registry = Registry.open(str(workspace / "registry"))
    files: dict[str, Path | bytes] = {path.name: path for path in model.iterdir()}
    registry.aliases.move("champion", registry.publish(files, {}).id)
    return workspace


def _run(plain: Path, *command: str) -> subprocess.CompletedProcess[str]:
    known = environment(XDG_CACHE_HOME=str(Path("cache").absolute()))
    known["PATH"] = f"{plain}{os.pathsep}{os.defpath}"
    program = str(plain / command[0])
    return subprocess.run(
        [program, *command[1:]],
        env=known,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_it_restores_by_python_and_by_its_command(plain: Path, folder: Path) -> None:
    done = _run(plain, "python", "-c", RESTORE, str(folder / "model"))
    assert done.returncode == 0, done.stdout
    done = _run(
        plain, "drdd", "restore", "photo.png", "-o", "one.png", "--model", "model", "--seed", "3"
    )
    assert done.returncode == 0, done.stdout
    by_python, by_command = (np.asarray(Image.open(name)) for name in ("by_python.png", "one.png"))
    assert by_python.shape == (40, 56, 3)
    assert np.array_equal(by_python, by_command)


def test_it_restores_right_after_installation(plain: Path, workspace: Path) -> None:
    """With the base that ships, in an empty folder."""
    (workspace / "photo.png").write_bytes(png(scene(0, 40, 56)))
    done = _run(plain, "drdd", "restore", "photo.png", "-o", "one.png")
    assert done.returncode == 0, done.stdout
    assert "no model is published yet: the base that ships with drdd is used" in done.stdout
    assert "by model base" in done.stdout
    done = _run(plain, "python", "-c", RESTORE, "base")
    assert done.returncode == 0, done.stdout


def test_it_restores_many_and_reads_a_registry(plain: Path, folder: Path) -> None:
    Path("in").mkdir()
    for number in range(3):
        Path(f"in/{number}.png").write_bytes(png(scene(number, 32, 40)))
    source = ("restore", "in", "-o", "out", "--model", f"{folder / 'registry'}@champion")
    done = _run(plain, "drdd", *source)
    assert "3 restored, 0 were there already" in done.stdout, done.stdout
    assert len(list(Path("out").glob("*.png"))) == 3
    listed = _run(plain, "drdd", "models", "list", "--registry", "registry")
    assert "champion" in listed.stdout, listed.stdout


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("restore . -o out --model model --workers 2", "train"),
        ("doctor", "pipeline"),
        ("up --s3-port 9000", "pipeline"),
        ("harmonize", "train"),
    ],
)
def test_it_says_what_it_lacks(plain: Path, folder: Path, command: str, extra: str) -> None:
    shutil.copy(ROOT / "params.yaml", folder)
    done = _run(plain, "drdd", *command.split())
    assert done.returncode == 2, done.stdout
    assert f"is not installed; where drdd is: pip install '.[{extra}]'" in done.stdout
    assert "Traceback" not in done.stdout


def test_it_has_none_of_what_the_pipeline_needs(plain: Path, folder: Path) -> None:
    code = f"import importlib.util as u; print([n for n in {ABSENT!r} if u.find_spec(n)])"
    assert _run(plain, "python", "-c", code).stdout == "[]\n"
    assert "champion" not in (shown := _run(plain, "drdd", "--help").stdout)
    assert "pip install '.[pipeline]'" in " ".join(shown.replace("│", "").split())
