"""params.yaml of somebody else: no secret comes into it, and no short text stands for a huge one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from drdd.errors import UserError
from drdd.params import load, overridden
from drdd.params.edit import add_task
from drdd.params.yaml_text import MAX_BYTES, MAX_DEPTH, load_yaml
from tests.conftest import ROOT

SECRET = "wJalrXUtnFEMI"
REFERENCES = [
    "${oc.env:AWS_SECRET_ACCESS_KEY}",
    "${oc.decode:${oc.env:AWS_SECRET_ACCESS_KEY}}",
    "from ${oc.env:AWS_SECRET_ACCESS_KEY,none} here",
    '"\\x24{oc.env:AWS_SECRET_ACCESS_KEY}"',  # what YAML reads counts, not how it is written
    "${publish.registry}",
    "'${oc.create:{a: 1}}'",
    "${.source}",
]


def _with_licence(folder: Path, licence: str) -> Path:
    content = (ROOT / "params.yaml").read_text()
    path = folder / "params.yaml"
    path.write_text(
        content.replace(
            "\ncorpora:\n",
            f"\ncorpora:\n  stolen:\n    source: pictures\n    licence: {licence}\n",
            1,
        )
    )
    return path


@pytest.mark.parametrize("licence", REFERENCES)
def test_no_secret_of_the_environment_comes_into_params(
    tmp_path: Path, licence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    path = _with_licence(tmp_path, licence)
    for read in (load, lambda one: overridden(one, [])):
        with pytest.raises(UserError, match=r"params.yaml: corpora.stolen.licence holds") as error:
            read(path)
        assert SECRET not in str(error.value)


def test_an_override_brings_no_secret_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    for value in REFERENCES:
        with pytest.raises(UserError, match=r"override of 'corpora.nature.licence'") as error:
            load(ROOT / "params.yaml", [f"corpora.nature.licence={value}"])
        assert SECRET not in str(error.value)


def test_the_command_line_refuses_it_in_one_sentence(tmp_path: Path) -> None:
    _with_licence(tmp_path, REFERENCES[0])
    environment = os.environ | {"AWS_SECRET_ACCESS_KEY": SECRET, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", "from drdd.cli.main import main; main()", "tasks", "list"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    said = " ".join((ran.stdout + ran.stderr).split())
    assert ran.returncode != 0
    assert "corpora.stolen.licence holds '${'" in said
    assert SECRET not in said
    assert "Traceback" not in said


def test_a_task_with_a_reference_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text())
    before = path.read_bytes()
    with pytest.raises(UserError):
        add_task("fog", {"corpora": ["${oc.env:USER}"], "degradation": [{"kind": "haze"}]}, path)
    assert path.read_bytes() == before


def _laughs(levels: int) -> str:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    for n in range(1, levels):
        lines.append(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]")
    return "\n".join(lines) + "\n"


BOMBS = {
    "billion laughs": (_laughs(9), "aliases"),
    "many aliases of one list": (
        f"a: &a [{', '.join('x' * 1000)}]\nb: [{', '.join(['*a'] * 1000)}]\n",
        "aliases",
    ),
    "merged": (
        "a: &a {x: 1}\n"
        + "".join(f"b{n}: {{<<: [{', '.join(['*a'] * 300)}]}}\n" for n in range(400)),
        "aliases",
    ),
    "an alias of what holds it": ("a: &a [*a]\n", "alias of what holds it"),
    "deep": ("a: " + "[" * 100_000, f"{MAX_DEPTH} levels"),
    "large": ("a: " + "x" * MAX_BYTES, "MiB"),
    "not UTF-8": ("a: \udcff", "UTF-8"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_short_text_that_stands_for_a_huge_one_is_refused(tmp_path: Path, bomb: str) -> None:
    """In a process of its own with 2 GiB, because reading it would take all memory."""
    text, said = BOMBS[bomb]
    path = tmp_path / "params.yaml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    code = (
        "import resource, sys; from drdd.params import load; from drdd.errors import UserError\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 * 1024**3,) * 2)\n"
        "try: load(sys.argv[1])\n"
        "except UserError as error: print(error)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said in ran.stdout
    with pytest.raises(UserError):
        load_yaml(path)


def test_a_few_aliases_are_read(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text("a: &a {x: [1, 2]}\nb: {<<: *a, y: 3}\nc: *a\n")
    assert load_yaml(path) == yaml.safe_load(path.read_text())
    assert load_yaml(path)["b"] == {"x": [1, 2], "y": 3}


@pytest.mark.parametrize(
    "text",
    [
        "seed: !!bool x",
        "seed: 2026-99-99",
        "seed: !!timestamp x",
        "seed: !!int ''",
        "seed: !!float",
    ],
)
def test_a_value_that_is_not_of_its_tag_is_said(text: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError, match="put it in quotes"):
        load(tmp_path / "params.yaml")


@pytest.mark.parametrize("text", ["true", "- a", "text", "7"])
def test_what_is_no_mapping_is_said(text: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError, match="must hold a mapping of sections"):
        load(tmp_path / "params.yaml")
