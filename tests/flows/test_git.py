"""A name that git would read as an option is refused, wherever it comes from. Real git, real commands."""

import ast
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drdd.errors import UserError
from flows.git import checked, commit_of
from flows.sensor import look
from flows.workspace import workspace
from infra.kubernetes.checkout import checkout
from tests.conftest import ROOT
from tests.flows.toy import git, make

# What git itself printed, so never an option: hashes of commits and trees.
HASHES = {"commit", "tree", "parent", "baseline"}
ILLEGAL = ["-", "--all", "-c", "a b", "a..b", "a:b", "@{-1}", "a\0b", "", "x.lock", "a\n", "~1"]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    origin = make(tmp_path / "origin")
    (origin / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    git(origin, "add", "--all")
    git(origin, "commit", "-qm", "start")
    git(origin, "clone", "-q", str(origin), str(tmp_path / "clone"))
    return tmp_path / "clone"


def _watch(clone: Path, name: str) -> None:
    look(clone, [], name)


def _watch_without_remote(clone: Path, name: str) -> None:
    git(clone, "remote", "remove", "origin")
    look(clone, [], name)


def _run(clone: Path, name: str) -> None:
    with workspace(clone, "run", name, []):
        pass


def _checkout(clone: Path, name: str) -> None:
    checkout(clone.with_name("shared"), str(clone), name)


@pytest.mark.parametrize("use", [_watch, _watch_without_remote, _run, _checkout])
@pytest.mark.parametrize("option", ["upload-pack", "receive-pack", "output", "exec", "upload-file"])
def test_a_branch_that_is_an_option_runs_no_command(
    clone: Path, use: Callable[[Path, str], None], option: str
) -> None:
    proof = clone.with_name("proof")
    with pytest.raises(UserError, match="is no name of a branch, tag or commit"):
        use(clone, f"--{option}=touch {proof};git-upload-pack")
    assert not proof.exists()


def test_a_repository_that_is_a_command_runs_none(clone: Path) -> None:
    """By an address that git's helpers run, also where the user's settings allow them."""
    proof = clone.with_name("proof")
    folder = clone.with_name("shared")
    for address in (f"ext::sh -c touch% {proof}", f"--upload-pack=touch {proof}"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GIT_CONFIG_COUNT", "1")
            patch.setenv("GIT_CONFIG_KEY_0", "protocol.ext.allow")
            patch.setenv("GIT_CONFIG_VALUE_0", "always")
            with pytest.raises(subprocess.CalledProcessError):
                checkout(folder, address, "main")
        assert not proof.exists()


@pytest.mark.parametrize("name", ILLEGAL)
def test_what_is_no_name_is_refused(clone: Path, name: str) -> None:
    with pytest.raises(UserError, match="name one that git lists"):
        checked(name)


@pytest.mark.parametrize("name", ["main", "HEAD", "HEAD~0", "HEAD^0", "origin/main", "feature/+1"])
def test_what_is_a_name_is_found(clone: Path, name: str) -> None:
    git(clone, "branch", "feature/+1")
    assert commit_of(clone, name) == git(clone, "rev-parse", "HEAD").strip()
    assert commit_of(clone, "nothing") is None


def _calls() -> Iterator[tuple[str, list[ast.expr]]]:
    """Each call of git in the sources, with what it hands to git."""
    for folder in ("drdd", "flows", "infra", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
                if isinstance(node, ast.Call):
                    name = ast.unparse(node.func)
                    if name in ("git", "_git"):
                        yield where, node.args
                    elif name == "_run" and "'git'" in ast.unparse(node):
                        yield where, node.args[1:]
                elif isinstance(node, ast.List) and ast.unparse(node).startswith("['git'"):
                    yield where, node.elts[1:]


def _is_literal(argument: ast.expr) -> bool:
    """Whether it begins with what the source says."""
    if isinstance(argument, ast.JoinedStr):
        return isinstance(argument.values[0], ast.Constant)
    return isinstance(argument, ast.Constant)


def test_every_name_follows_the_end_of_options() -> None:
    wrong, seen = [], 0
    for where, arguments in _calls():
        seen += 1
        for number, argument in enumerate(arguments):
            before = [one.value for one in arguments[:number] if isinstance(one, ast.Constant)]
            if {"--", "--end-of-options"} & set(before) or _is_literal(argument):
                continue
            names = {one.id for one in ast.walk(argument) if isinstance(one, ast.Name)}
            # First is our functions' folder; -C and -m take a value; order and form are options of ours.
            if number == 0 or (before and before[-1] in ("-C", "-m")):
                continue
            if names <= HASHES or names <= {"order", "form"}:
                continue
            wrong.append(f"{where}: {ast.unparse(argument)}")
    assert seen > 20
    assert not wrong
