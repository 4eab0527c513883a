"""The tree of the inputs is mirrored, whatever names them; two inputs never become one file."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from drdd.batch.plan import plan
from drdd.errors import UserError

TREE = (
    "a.png",
    "b.jpg",
    "deep/c.webp",
    "deep/er/d.png",
    "deep/e.png",
    "notes.txt",
    ".hidden/f.png",
)


@pytest.fixture
def tree(workspace: Path) -> Path:
    for name in TREE:
        (workspace / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / "in" / name).write_bytes(b"picture")
    return workspace


def _outputs(inputs: Sequence[str], output: str = "out") -> dict[str, str]:
    return {
        str(Path(file.entry.where).relative_to(Path.cwd())): file.output
        for file in plan(inputs, output, ".png").files
    }


WHOLE = {
    "in/a.png": "a.png",
    "in/b.jpg": "b.png",
    "in/deep/c.webp": "deep/c.png",
    "in/deep/e.png": "deep/e.png",
    "in/deep/er/d.png": "deep/er/d.png",
}


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (["in"], WHOLE),
        (["in/"], WHOLE),
        (["in/**/*"], WHOLE),
        (["in/*.png"], {"in/a.png": "a.png"}),
        (["in/deep/**/*.png"], {"in/deep/e.png": "e.png", "in/deep/er/d.png": "er/d.png"}),
        (["in/*/?.[pw]*"], {"in/deep/c.webp": "deep/c.png", "in/deep/e.png": "deep/e.png"}),
        (["in/a.png"], {"in/a.png": "a.png"}),
        (["in/b.jpg", "in/deep/e.png"], {"in/b.jpg": "b.png", "in/deep/e.png": "deep/e.png"}),
    ],
)
def test_files_folders_and_patterns(
    tree: Path, inputs: list[str], expected: dict[str, str]
) -> None:
    assert _outputs(inputs) == expected
    assert _outputs([str(tree / name) for name in inputs]) == expected


def test_no_output_is_outside_the_output_folder(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree / "in/deep")
    outputs = {
        file.output for file in plan(["c.webp", "../a.png", "./er/../e.png"], "out", ".png").files
    }
    assert outputs == {"deep/c.png", "a.png", "deep/e.png"}


def test_what_lies_in_the_output_is_no_input(tree: Path) -> None:
    assert _outputs(["in"], "in/deep") == {"in/a.png": "a.png", "in/b.jpg": "b.png"}
    with pytest.raises(UserError, match="no picture to restore"):
        plan(["in/deep"], "in/deep", ".png")


def test_two_inputs_that_would_become_one_file_are_named(tree: Path) -> None:
    (tree / "in/a.jpg").write_bytes(b"another")
    with pytest.raises(UserError, match=r"a\.jpg and a\.png would both become a\.png"):
        plan(["in"], "out", ".png")


@pytest.mark.parametrize(
    "inputs", [["nothing"], ["in/*.tiff"], ["in/a.png", "nothing"], ["in/x*/y"]]
)
def test_what_is_not_there_is_said(tree: Path, inputs: list[str]) -> None:
    with pytest.raises(UserError, match=r"does not exist|matches no picture|no such file"):
        plan(inputs, "out", ".png")
