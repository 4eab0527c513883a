"""What is printed is what it is: no string of a person or a file is markup or an emoji."""

import ast
import io
from pathlib import Path

import numpy as np
import pytest
from rich.table import Table

from drdd.cli.restore import restore
from drdd.pictures.files import png
from drdd.shown import console
from tests.conftest import ROOT
from tests.inference.test_engine import make_model

ODD = ["[red]a", "[link=x]", "a:bug:b", "[bold]x[/bold]", "\\[x]", "[/]", "😀"]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("wrapped", [str, lambda name: _table(name)])
def test_a_string_is_shown_as_it_is(name: str, wrapped: object) -> None:
    shown = io.StringIO()
    assert callable(wrapped)
    console(file=shown, width=80).print(wrapped(name))
    assert shown.getvalue().count(name) >= 1


def _table(name: str) -> Table:
    table = Table(box=None, title=name)
    table.add_column(name)
    table.add_row(name)
    return table


def test_there_is_one_terminal() -> None:
    for folder in ("drdd", "flows", "infra"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Console"):
                    assert path == ROOT / "drdd/shown.py", f"{path}:{node.lineno}: use console()"
                if isinstance(node, ast.keyword) and node.arg in ("markup", "emoji"):
                    assert not ast.literal_eval(node.value), f"{path}:{node.lineno}: no markup"


def test_paths_of_any_letters_are_restored_and_named(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_model(workspace / "model")
    names = ["[red]x.png", "[link=x].png", "[!x] y.png", "a:bug:b.png", "-rf.png", "'q' \"r\".png"]
    Path("in [b]").mkdir()
    for name in names:
        Path("in [b]", name).write_bytes(png(np.full((24, 32, 3), 99, np.uint8)))
    for name in names:
        restore([f"in [b]/{name}"], f"out [/b].x/{name}", model="model")
        assert f"out [/b].x/{name}  32 x 24" in capsys.readouterr().out
    restore(["in [b]"], "all [x]", model="model")
    assert f"all [x]: {len(names)} restored" in capsys.readouterr().out
    assert {path.name for path in Path("all [x]").glob("*.png")} == set(names)
