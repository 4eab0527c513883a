"""Who may know whom, as docs/architecture.md says."""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

HEAVY = {"ray", "prefect", "dvc", "fsspec", "s3fs", "fastapi"}
FORBIDDEN = {
    "drdd/diffusion": HEAVY | {"drdd.data", "drdd.training", "drdd.serving", "drdd.stages"},
    "drdd/nets": HEAVY | {"drdd.data", "drdd.training", "drdd.serving", "drdd.stages"},
    "drdd/checkpoints": HEAVY | {"drdd.data", "drdd.training", "drdd.serving", "drdd.stages"},
    "drdd/degradations": HEAVY | {"drdd.data", "drdd.training", "drdd.serving", "drdd.stages"},
    "drdd/sources": HEAVY | {"drdd.data", "drdd.training", "drdd.stages", "drdd.serving"},
    "drdd/data": HEAVY | {"drdd.training", "drdd.stages", "drdd.serving", "drdd.registry"},
    "drdd/evaluation": HEAVY
    | {"drdd.training", "drdd.serving", "drdd.stages", "drdd.storage.filesystems"},
    "drdd/training": {"prefect", "dvc", "fsspec", "s3fs", "drdd.registry", "drdd.stages"},
    "drdd/serving": {"prefect", "dvc", "fsspec", "s3fs", "drdd.training", "drdd.stages"},
    "drdd/batch": HEAVY | {"drdd.training", "drdd.stages"},
    "drdd/registry": {"ray", "prefect", "dvc", "torch", "drdd.training", "drdd.stages"},
    "drdd/stages": {"prefect", "dvc", "fsspec", "s3fs", "flows"},
    "infra": {"torch", "prefect", "dvc", "flows"},
}

# What one module of a room may know, and the rest of the room may not.
ALLOWED = {
    "drdd/intake/streaming.py": {"ray"},
    "drdd/storage/versions.py": {"dvc"},
    "drdd/batch/workers.py": {"ray"},
}


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_a_room_knows_only_its_neighbours(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        forbidden = FORBIDDEN[room] - ALLOWED.get(name, set())
        bad = [m for m in _imports(path) for f in forbidden if _is_in(m, f)]
        assert not bad, f"{name} imports {bad}"


def test_the_library_knows_neither_flows_nor_infra() -> None:
    """What they bring to `drdd` comes through the entry points of pyproject.toml."""
    for path in (ROOT / "drdd").rglob("*.py"):
        found = {module.partition(".")[0] for module in _imports(path)}
        assert not found & {"flows", "infra"}, path


@pytest.mark.parametrize("room", ["drdd/diffusion", "drdd/nets", "drdd/degradations"])
def test_the_method_knows_no_files(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        assert not _imports(path) & {"pathlib", "os", "io", "drdd.files"}, path


def test_storage_has_three_customers() -> None:
    customers = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "drdd").rglob("*.py")
        if any(_is_in(module, "drdd.storage.filesystems") for module in _imports(path))
    }
    assert customers == {
        "drdd/sources/entry.py",
        "drdd/storage/versions.py",
        "drdd/storage/objects.py",
    }


def test_no_room_is_a_lumber_room() -> None:
    names = {
        path.stem for folder in ("drdd", "flows", "infra") for path in (ROOT / folder).rglob("*")
    }
    assert not names & {"utils", "util", "helpers", "common", "misc", "core"}


def test_files_stay_short() -> None:
    for folder in ("drdd", "flows", "infra"):
        for path in (ROOT / folder).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 320, path
