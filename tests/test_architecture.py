"""Who may know whom, and where to walk, as docs/architecture.md says."""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_declared import LISTED

PACKAGES = ("drdd", "flows", "infra")
PAGE = (ROOT / "docs/architecture.md").read_text()

# Modules at the top of drdd that every room may know.
SMALL = {
    *("errors", "files", "first_bytes", "private_files", "progress", "settings", "extras"),
    *("bounded", "shown", "text"),
}
# What each room of drdd imports of the others, anywhere in its files.
KNOWS: dict[str, set[str]] = {
    "base": set(),
    "batch": {
        "cluster",
        "data",
        "formats",
        "inference",
        "intake",
        "pictures",
        "registry",
        "sources",
        "storage",
    },
    "checkpoints": {"diffusion", "methods", "nets"},
    "cluster": {"drawing", "params", "pictures", "storage", "training"},
    "data": {"pictures", "storage"},
    "degradations": {"diffusion"},
    "diffusion": set(),
    "drawing": {"pictures"},
    "evaluation": {"data", "drawing", "inference", "intake", "metrics", "pictures"},
    "formats": {"pictures"},
    "gates": set(),
    "harmonize": {
        "data",
        "diffusion",
        "drawing",
        "metrics",
        "params",
        "pictures",
        "stages",
        "training",
    },
    "inference": {"checkpoints", "diffusion", "methods", "nets", "pictures", "registry"},
    "intake": {"cluster", "data", "drawing", "pictures", "sources"},
    "methods": {"diffusion", "nets"},
    "metrics": {"checkpoints", "pictures"},
    "nets": set(),
    "params": {"degradations", "gates", "methods", "nets", "references"},
    "pictures": set(),
    "references": {"degradations", "pictures"},
    "registry": {"base", "checkpoints", "gates", "metrics", "params", "storage"},
    "report": {"drawing", "evaluation", "gates", "metrics", "params", "pictures"},
    "serving": {
        "base",
        "diffusion",
        "formats",
        "gates",
        "inference",
        "intake",
        "metrics",
        "params",
        "pictures",
        "registry",
        "sources",
    },
    "sources": {"params", "pictures", "storage"},
    "storage": set(),
    "synthetic": {"pictures"},
    "training": {
        *("checkpoints", "data", "degradations", "diffusion", "methods"),
        *("metrics", "nets", "params", "pictures", "storage"),
    },
}
# These wire all the others together.
WIRING = {"stages", "cli", "presets"}
# Libraries, and the only rooms or files that may import them.
ONLY = {
    "ray": {
        "drdd/cluster",
        "drdd/serving",
        "drdd/batch",
        "drdd/intake/streaming.py",
        "drdd/stages/compare.py",
        "drdd/stages/evaluate.py",
    },
    "dvc": {"drdd/storage/versions.py", "flows"},
    "prefect": {"flows"},
    "fastapi": {"drdd/serving"},
    "fsspec": {"drdd/storage"},
    "s3fs": {"drdd/storage"},
}
PURE = ("drdd/nets", "drdd/diffusion", "drdd/methods", "drdd/degradations")


def _files(folder: str = "") -> list[Path]:
    places = [folder] if folder else PACKAGES
    return sorted(path for place in places for path in (ROOT / place).rglob("*.py"))


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _rooms_known(room: str) -> set[str]:
    imported = {module for path in _files(f"drdd/{room}") for module in _imports(path)}
    parts = (module.split(".") for module in imported if module.startswith("drdd."))
    return {part[1] for part in parts} - {room} - SMALL


def _below(name: str, places: set[str]) -> bool:
    return any(name == place or name.startswith(f"{place}/") for place in places)


def test_every_room_is_in_the_picture() -> None:
    rooms = {p.name for p in (ROOT / "drdd").iterdir() if p.is_dir() and any(p.rglob("*.py"))}
    assert rooms == KNOWS.keys() | WIRING
    for room in rooms:
        assert f"`drdd/{room}`" in PAGE, room


@pytest.mark.parametrize("room", KNOWS)
def test_a_room_knows_its_neighbours(room: str) -> None:
    assert _rooms_known(room) == KNOWS[room]


def test_there_is_no_circle() -> None:
    assert list(TopologicalSorter(KNOWS).static_order())


def test_the_library_knows_neither_flows_nor_infra() -> None:
    for path in _files("drdd"):
        assert not {m for m in _imports(path) if m.split(".")[0] in ("flows", "infra")}, path


@pytest.mark.parametrize("library", ONLY)
def test_a_library_is_imported_where_it_may_be(library: str) -> None:
    users = {_name(p) for p in _files() if any(m.split(".")[0] == library for m in _imports(p))}
    assert {name for name in users if not _below(name, ONLY[library])} == set()


@pytest.mark.parametrize("room", PURE)
def test_the_method_knows_no_files(room: str) -> None:
    for path in _files(room):
        assert not _imports(path) & {"pathlib", "os", "io", "drdd.files"}, path


def test_no_room_is_a_lumber_room() -> None:
    names = {path.stem for folder in PACKAGES for path in (ROOT / folder).rglob("*")}
    assert not names & {"utils", "util", "helpers", "common", "misc", "core"}


# drdd/references/jpeg.py reads back the file that it has just written.
OPEN_PICTURES = {"drdd/pictures/opening.py", "drdd/references/jpeg.py"}


def test_pictures_are_opened_in_one_place() -> None:
    """There the formats are listed: with all of Pillow's, a file chooses the decoder, or a program."""
    called = {
        _name(path)
        for path in _files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "Image.open"
    }
    assert called == OPEN_PICTURES


def test_files_stay_short() -> None:
    for path in _files():
        assert len(path.read_text().splitlines()) <= 320, path


def _walks() -> Iterator[list[str]]:
    section = PAGE.split("## Three walks")[1].split("## ")[0]
    for paragraph in section.strip().split("\n\n"):
        yield re.findall(r"`([\w/.]+\.(?:py|yaml))`", paragraph)


def _room(name: str) -> str:
    return "/".join(name.split("/")[:2])


@pytest.mark.parametrize("walk", list(_walks()))
def test_a_walk_is_short_and_enters_no_room_twice(walk: list[str]) -> None:
    assert 5 <= len(walk) <= 10
    rooms = [_room(name) for name in walk]
    entered = [room for n, room in enumerate(rooms) if n == 0 or rooms[n - 1] != room]
    assert len(entered) == len(set(entered))
    for n, name in enumerate(walk):
        assert (ROOT / name).is_file(), name
        if n == 0 or name.startswith(("drdd/stages/", "drdd/params/")):
            continue  # dvc.yaml and params.yaml name these; nothing imports a stage
        earlier = {m for one in walk[:n] if one.endswith(".py") for m in _imports(ROOT / one)}
        listed = {f"{place.replace('/', '.')}" for place in LISTED}
        module = name.removesuffix(".py").replace("/", ".")
        package = module.rpartition(".")[0]
        assert module in earlier or (package in listed and package in earlier), name


def test_there_are_three_walks() -> None:
    assert len(list(_walks())) == 3
