"""The locks: nothing is installed, and no image run, but what a hash names."""

import hashlib
import http.server
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT
from tests.project import environment

SETUP = ROOT / "infra/setup"
LOCK = ROOT / "requirements.lock"
LOCKS = (LOCK, *sorted(SETUP.glob("*.lock")))
BLOCK = re.compile(
    r"^([A-Za-z0-9][^\\\n]*)\s*\\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M
)
INSTALLS = (
    SETUP / "install.sh",
    SETUP / "tools.sh",
    ROOT / "infra/containers/Dockerfile",
    ROOT / "infra/ray/cluster-aws.yaml",
)
DIGEST = re.compile(r"^[a-z0-9./-]+(:[a-zA-Z0-9._-]+)?@sha256:[0-9a-f]{64}$")
OURS = re.compile(r"^(drdd(:[a-z]+)?|\$\{DRDD_IMAGE:-drdd:latest\})$")


def _pins(lock: Path) -> dict[str, Requirement]:
    return {(one := Requirement(text)).name: one for text, _ in BLOCK.findall(lock.read_text())}


def test_there_are_the_locks_that_are_installed() -> None:
    assert {lock.name for lock in LOCKS[1:]} == {
        "bootstrap.lock",
        "kubernetes.lock",
        "tools.lock",
        "torch.cpu.lock",
        "torch.cuda.lock",
    }


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_line_of_a_lock_is_a_pin_with_hashes(lock: Path) -> None:
    assert BLOCK.sub("", lock.read_text()).strip() == ""
    pins = _pins(lock)
    assert pins
    assert all(str(pin.specifier).startswith("==") for pin in pins.values())


def test_what_builds_packages_is_locked_too() -> None:
    """setuptools builds this project and the one package without a wheel."""
    assert "setuptools" in _pins(LOCK)


def test_cuda_is_in_a_lock_of_its_own() -> None:
    """Else gigabytes are put on machines without a GPU."""
    base, cpu, cuda = (
        _pins(lock) for lock in (LOCK, SETUP / "torch.cpu.lock", SETUP / "torch.cuda.lock")
    )
    gpu = re.compile(r"nvidia-|cuda-|triton$|torch$")
    assert not [name for name in base if gpu.match(name)]
    assert set(cpu) == {"torch"}
    assert cuda.keys() > {"torch", "triton", "nvidia-cublas"}
    assert all(gpu.match(name) for name in cuda)
    assert str(cpu["torch"].specifier) == f"{cuda['torch'].specifier}+cpu"


@pytest.mark.parametrize("file", INSTALLS, ids=lambda file: file.name)
def test_every_installation_requires_hashes(file: Path) -> None:
    text = file.read_text().replace("\\\n", " ").replace("\n  --", " --")
    lines = [line for line in text.splitlines() if re.search(r"pip install", line)]
    assert lines
    for line in lines:
        if (
            not line.lstrip().startswith("#")
            and "--no-deps --no-build-isolation --editable ." not in line
        ):
            assert "--require-hashes" in line, line


def test_every_image_of_others_is_named_by_its_digest() -> None:
    """A tag may be moved to another image by whoever has its registry's key."""
    found = [
        (path.name, image.strip())
        for path in (*(ROOT / "infra").rglob("*.yaml"), ROOT / "infra/containers/Dockerfile")
        for image in re.findall(
            r"(?:^\s*-?\s*image:|^FROM|^ARG PYTHON=|^# syntax=)\s*([^\s#]+)", path.read_text(), re.M
        )
    ]
    assert len(found) > 10
    foreign = [one for one in found if not OURS.match(one[1]) and one[1] != "${PYTHON}"]
    assert {name for name, _ in foreign} == {"Dockerfile", "compose.yaml", "postgres.yaml"}
    assert [one for one in foreign if not DIGEST.match(one[1])] == []


# What a stranger tries: a wheel of the right name and version with other content.


@pytest.fixture
def forged(tmp_path: Path) -> Path:
    """A folder with a wheel of torch's CPU build, of the pinned version, made by somebody else."""
    folder, name = tmp_path / "wheels", str(_pins(SETUP / "torch.cpu.lock")["torch"].specifier)[2:]
    folder.mkdir()
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    info = f"torch-{name}.dist-info"
    with zipfile.ZipFile(
        folder / f"torch-{name}-{tag}-{tag}-manylinux_2_28_x86_64.whl", "w"
    ) as wheel:
        wheel.writestr("torch/__init__.py", "print('a stranger runs')\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {name}\n")
        wheel.writestr(
            f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return folder


def test_a_forged_wheel_of_torch_is_refused_and_it_is_said_what_to_do(
    tmp_path: Path, forged: Path
) -> None:
    """install.sh itself, with a folder of wheels as pip would be configured; torch alone is asked for.

    Another environment is active, which has the right torch already: it is none of install.sh's business.
    """
    project = tmp_path / "project"
    shutil.copytree(SETUP, project / "infra/setup")
    (project / "requirements.lock").write_text("")
    (project / "pyproject.toml").write_text("")
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip/pip.conf").write_text(f"[global]\nfind-links = {forged}\n")
    known = environment(
        XDG_CONFIG_HOME=str(tmp_path), PYTHON=sys.executable, VIRTUAL_ENV=sys.prefix
    )
    done = subprocess.run(
        ["bash", project / "infra/setup/install.sh"],
        env=known,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Hash mismatch for `torch==" in done.stderr
    assert "torch.cpu.lock has those of PyTorch's own CPU builds" in done.stderr
    assert not list(project.rglob("torch/__init__.py"))
    assert not (project / ".venv/installed").exists()


def test_another_release_of_uv_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "bootstrap.lock"
    text = (SETUP / "bootstrap.lock").read_text()
    lock.write_text(re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", text))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes"]
    done = subprocess.run(
        [*command, "--only-binary", ":all:", "--target", tmp_path / "to", "-r", lock],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert not list(tmp_path.glob("to/*"))


def test_a_compilation_that_did_not_happen_leaves_the_locks_alone(tmp_path: Path) -> None:
    """`--help` makes the compiler print, succeed, and write nothing."""
    shutil.copytree(SETUP, tmp_path / "infra/setup")
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    known = environment(TORCH_CPU_INDEX="http://127.0.0.1:9")
    subprocess.run(
        [tmp_path / "infra/setup/lock.sh", "--help"], env=known, capture_output=True, check=False
    )
    for lock in LOCKS:
        assert (tmp_path / lock.relative_to(ROOT)).read_bytes() == lock.read_bytes()


@pytest.fixture
def index() -> Iterator[str]:
    """PyTorch's index, with one build for Linux and one for another version."""
    page = "".join(
        f'<a href="https://host/torch-{name}.whl#sha256={digit * 64}">x</a>'
        for name, digit in (
            ("9.9.0%2Bcpu-cp311-cp311-manylinux_2_28_x86_64", "a"),
            ("9.9.0%2Bcpu-cp311-cp311-win_amd64", "b"),
            ("9.8.0%2Bcpu-cp311-cp311-manylinux_2_28_x86_64", "c"),
        )
    )

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/torch/" else 404)
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_hashes_of_cpu_builds_are_the_index_s_and_those_of_wheels_here(
    tmp_path: Path, index: str
) -> None:
    (tmp_path / "torch.cuda.lock").write_text("torch==9.9.0 \\\n    --hash=sha256:00\n")
    wheel = tmp_path / "torch-9.9.0+cpu-cp312-cp312-linux_x86_64.whl"
    wheel.write_bytes(b"a build of our own")
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip/pip.conf").write_text(f"[global]\nfind-links = {tmp_path}\n")
    known = environment(TORCH_CPU_INDEX=index, XDG_CONFIG_HOME=str(tmp_path))
    locks = (tmp_path / "torch.cuda.lock", tmp_path / "torch.cpu.lock")
    done = subprocess.run(
        [sys.executable, SETUP / "cpu_builds.py", *locks],
        env=known,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("torch==9.9.0+cpu \\\n")
    expected = {"a" * 64, hashlib.sha256(b"a build of our own").hexdigest()}
    assert set(re.findall("sha256:([0-9a-f]+)", done.stdout)) == expected
