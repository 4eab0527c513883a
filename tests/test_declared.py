"""What a stage of dvc.yaml declares is what decides its outputs: held against the imports of its module."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

PACKAGES = {"drdd", "flows", "infra"}

# Files and folders that decide no byte of what a stage keeps, with the reason. Everything else that a
# stage imports is among its deps.
DECIDE_NOTHING = {
    "drdd/__init__.py": "names what users import, and imports it when it is asked for",
    "drdd/cluster": "launches, watches and saves a training run; what is computed is in training",
    "drdd/storage": "carries bytes, verified by their hashes",
    "drdd/registry": "carries published versions, verified by their hashes",
    "drdd/serving": "carries pictures to the engine of drdd/inference and back",
    "drdd/params": "checks params; a stage declares the values that it reads",
    "drdd/settings.py": "what schemas of settings are made of",
    "drdd/degradations/deferred.py": "imports torch when it is first used",
    "drdd/progress.py": "shows how far a stage is",
    "drdd/errors.py": "two kinds of failure",
    "drdd/bounded.py": "refuses JSON that is too large or too deep",
    "drdd/shown.py": "shortens ids and escapes what steers a terminal, in sentences for people",
    "drdd/text.py": "reads UTF-8, or refuses a file",
    "drdd/files.py": "writes given bytes so that they appear whole",
    "drdd/private_files.py": "keeps other users out of files and folders",
    "drdd/stages/paths.py": "names the deps and outs of dvc.yaml",
    "drdd/stages/run.py": "starts a stage and says how it failed",
}
# The same, of one stage alone.
OF_TRAINING = {
    "drdd/drawing": "draws what live numbers show",
    "drdd/base": "finds the base and verifies it; its hashes are in data/starts",
}
WORDS = {"drdd/first_bytes.py": "says what a file is that is refused; ingest takes files by it"}
DECIDE_NOTHING_OF = {
    **dict.fromkeys(("synthetic", "split", "prepare", "references"), WORDS),
    **dict.fromkeys(("compare", "evaluate", "judge", "publish"), WORDS),
    "check": {"drdd": "refuses what the stages would refuse too; it keeps hashes of starts"},
    "train_noise": OF_TRAINING | WORDS,
    "train_residual": OF_TRAINING | WORDS,
}
# Of these, the ones behind which something is computed: what they import is followed.
FOLLOWED = ["drdd/cluster"]
# Packages that find their modules by listing them: whoever imports such a package may use every module.
LISTED = ["drdd/methods"]


def _stages() -> Iterator[tuple[str, str, list[str]]]:
    """Of each stage of dvc.yaml: its name, its module, its deps."""
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        stage = stage.get("do", stage)
        yield name, stage["cmd"].split()[2], stage.get("deps", [])


def _file_of(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    candidates = (path / "__init__.py", path.with_suffix(".py"))
    return next((file for file in candidates if file.is_file()), None)


def _imported(path: Path) -> Iterator[str]:
    """Modules of ours that a file imports, wherever in it, each with the packages that it is in."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            if parts[0] in PACKAGES:
                yield from (".".join(parts[:n]) for n in range(1, len(parts) + 1))


def _is_below(name: str, places: list[str]) -> bool:
    return any(name == place or name.startswith(f"{place}/") for place in places)


def reached(module: str) -> set[str]:
    """The files that a stage's module imports, at first, second or any hand; the module's own too.

    What decides nothing is not among them, nor what it imports in turn, unless that is FOLLOWED.
    """
    found: set[str] = set()
    seen: set[Path] = set()
    waiting = [module]
    while waiting:
        path = _file_of(waiting.pop())
        if path is None or path in seen:
            continue
        seen.add(path)
        name = path.relative_to(ROOT).as_posix()
        if not _is_below(name, list(DECIDE_NOTHING)):
            if path.name != "__init__.py" or path.read_text().strip():
                found.add(name)
        elif not _is_below(name, FOLLOWED):
            continue
        waiting.extend(_imported(path))
        if (
            path.name == "__init__.py"
            and (folder := path.parent.relative_to(ROOT)).as_posix() in LISTED
        ):
            waiting.extend(
                ".".join((*folder.parts, file.stem)) for file in path.parent.glob("*.py")
            )
    return found


@pytest.mark.parametrize(("stage", "module", "deps"), list(_stages()))
def test_a_stage_declares_what_decides_its_outputs(
    stage: str, module: str, deps: list[str]
) -> None:
    known = [*deps, *DECIDE_NOTHING_OF.get(stage, {})]
    undeclared = sorted(name for name in reached(module) if not _is_below(name, known))
    assert not undeclared, f"dvc.yaml: {stage} depends on these too, or they decide nothing"


@pytest.mark.parametrize(("stage", "module", "deps"), list(_stages()))
def test_a_stage_declares_nothing_else(stage: str, module: str, deps: list[str]) -> None:
    # The schemas of entries in params.yaml are declared for their defaults; a table is read, not imported.
    others = ("drdd/params/", "drdd/base/pictures.parquet")
    code = [dep for dep in deps if dep.startswith("drdd") and not dep.startswith(others)]
    used = reached(module)
    unused = [dep for dep in code if not any(_is_below(name, [dep]) for name in used)]
    assert not unused, f"dvc.yaml: {stage} would rerun for what it never reads"


# They load modules by name: methods by listing their folder, torch and the feature network when asked for.
BY_NAME = {
    *("drdd/methods/__init__.py", "drdd/metrics/features.py"),
    *("drdd/degradations/deferred.py", "drdd/__init__.py"),
}
DECIDING = (
    "nets",
    "diffusion",
    "methods",
    "degradations",
    "training",
    "data",
    "pictures",
    "checkpoints",
)


@pytest.mark.parametrize("path", sorted((ROOT / "drdd").rglob("*.py")), ids=lambda p: p.stem)
def test_every_import_can_be_followed(path: Path) -> None:
    """No relative imports, and modules are imported by name only where that is known."""
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.ImportFrom) and node.level), path
        if isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            if name in ("import_module", "__import__"):
                assert path.relative_to(ROOT).as_posix() in BY_NAME, path


@pytest.mark.parametrize("room", DECIDING)
def test_what_decides_takes_only_schemas_of_params(room: str) -> None:
    """drdd/params decides nothing: classes and constants come from there, and no function."""
    for path in (ROOT / "drdd" / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("drdd.params"):
                assert all(alias.name[0].isupper() for alias in node.names), path


@pytest.mark.parametrize("place", sorted(DECIDE_NOTHING))
def test_what_decides_nothing_is_there(place: str) -> None:
    assert (ROOT / place).exists()
