"""README.md and docs/: what they point to is there."""

import ast
import re
from functools import cache
from typing import Any

import pytest
import typer
import yaml

from drdd.cli.main import app
from tests.conftest import ROOT

PAGES = {path.name: path.read_text() for path in (ROOT / "README.md", *ROOT.glob("docs/*.md"))}
PACKAGES = ("drdd", "flows", "infra", "tests", "benchmarks")
# Files that a reader writes, following a page.
WRITTEN = {"drdd/gates/min_psnr.py", "infra/containers/.env"}
_PREFECT = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS = {f"drdd/{one['name']}" for one in _PREFECT["deployments"]}
FENCE = re.compile(r"^```[a-z]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)

each_page = pytest.mark.parametrize("page", sorted(PAGES))


def _code(page: str) -> list[str]:
    """Each line of a code block, and each text in backticks."""
    text = PAGES[page]
    lines = [line for block in FENCE.findall(text) for line in block.splitlines()]
    return lines + [" ".join(one.split()) for one in re.findall(r"`([^`]+)`", FENCE.sub("", text))]


def _anchors(text: str) -> set[str]:
    """As GitHub makes them of the headings."""
    titles = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@each_page
def test_links_lead_somewhere(page: str) -> None:
    folder = ROOT if page == "README.md" else ROOT / "docs"
    links = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", PAGES[page]))
    for link in links:
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = folder / path if path else folder / page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target.read_text()), link


@each_page
def test_paths_exist(page: str) -> None:
    path = re.compile(rf"(?<![\w./:-])(?:{'|'.join(PACKAGES)})/[\w.*/-]++(?!=)")
    named = {found for line in _code(page) for found in path.findall(line)}
    missing = {
        name
        for name in named - WRITTEN - DEPLOYMENTS
        if not re.search(r"\b[A-Z]+\b", name) and not list(ROOT.glob(name.rstrip(".")))
    }
    assert not missing


@each_page
def test_make_targets_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {found for line in _code(page) for found in re.findall(r"\bmake ([a-z-]+)", line)}
    assert named <= targets


@each_page
def test_modules_that_are_run_exist(page: str) -> None:
    ours = rf"python -m ((?:{'|'.join(PACKAGES)})[\w.]*)"
    for name in {found for line in _code(page) for found in re.findall(ours, line)}:
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), name


@each_page
def test_tests_exist(page: str) -> None:
    """test_x.py, test_x.py::test_y, test_x.py -k words, and test_y or the beginning of it and "..."."""
    for line in _code(page):
        named = re.findall(r"(?<![\w/])((?:tests/[\w/]*)?test_\w+\.py)(?:::(\w+))?", line)
        tests = set().union(*(_tests(file) for file, _ in named))
        assert all(_tests(file) for file, _ in named), line
        assert {function for _, function in named if function} <= tests, line
        for chosen in re.findall(r"test_.* -k (?:\"([^\"]+)\"|(\w+))", line):
            for word in re.split(" (?:or|and) ", "".join(chosen)):
                assert any(word in name for name in tests), line
        if alone := re.fullmatch(r"(test_\w+)(\.\.\.)?", line):
            begins = alone[1] if alone[2] else f"{alone[1]}\n"
            assert any(f"{name}\n".startswith(begins) for name in _tests("tests/**/test_*.py")), (
                line
            )


@cache
def _tests(file: str) -> frozenset[str]:
    """The names of its tests. file: a path or, without a folder, a name."""
    paths = ROOT.glob(file if "/" in file else f"tests/**/{file}")
    nodes = (node for path in paths for node in ast.walk(ast.parse(path.read_text())))
    names = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    return frozenset(name for name in names if name.startswith("test_"))


@each_page
def test_commands_exist(page: str) -> None:
    for line in _code(page):
        for shown in re.findall(r"(?:^|&& |; )(drdd [a-z].*?)(?= && |; | \||  +#|$)", line):
            command: Any = typer.main.get_command(app)
            for word in shown.split()[1:]:
                if not hasattr(command, "get_command"):
                    break
                found = command.get_command(None, word)
                assert found is not None, shown
                command = found
            options = {"--help", *(name for one in command.params for name in one.opts)}
            assert set(re.findall(r" (--?[a-z][a-z-]*)", shown)) <= options, shown
