"""No output is outside the output folder, and none replaces an input, whatever lists and links say."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from drdd.batch.ledger import FILE
from drdd.batch.plan import plan
from drdd.cli.data import check
from drdd.cli.restore import restore
from drdd.cli.tasks import show
from drdd.errors import UserError
from drdd.pictures.files import png
from drdd.storage.objects import Store
from tests.corpora import scene
from tests.inference.test_engine import make_model
from tests.project import tiny_params, write_params


@pytest.fixture
def home(workspace: Path) -> Path:
    """A model, and an album with x.png."""
    make_model(workspace / "model")
    (workspace / "album").mkdir()
    (workspace / "album/x.png").write_bytes(png(scene(0, 24, 32)))
    return workspace


def _state(home: Path) -> dict[str, bytes]:
    files = (path for path in home.rglob("*") if path.is_file() and "out" not in path.parts)
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in files}


def _records(output: Path) -> dict[str, str]:
    lines = (output / FILE).read_text().splitlines()
    return {one["input"]: one["problem"] for one in map(json.loads, lines)}


def test_a_list_cannot_overwrite_what_it_names(home: Path) -> None:
    """The entry is read as the picture beside the list's folder, and would be written there as well."""
    (home / "lists").mkdir()
    (home / "lists/a.png").write_bytes(png(scene(1, 24, 32)))
    (home / "lists/all.txt").write_text(f"../album/x.png\na.png\n{home}/album/x.png\n")
    before = _state(home)
    with pytest.raises(
        UserError, match=r"1 of 3 files could not be restored .*x\.png: its name climbs"
    ):
        restore(["lists/all.txt"], "out", model="model", threads=1)
    assert _state(home) == before
    assert (home / "out/a.png").is_file()
    assert (home / f"out{home}/album/x.png").is_file()  # an absolute path, below the output
    assert [name for name, problem in _records(home / "out").items() if problem] == [
        "../album/x.png"
    ]


def _same_name(home: Path) -> tuple[list[str], str]:
    return ["album/x.png"], "album/x.png"


def _other_spelling(home: Path) -> tuple[list[str], str]:
    return ["album/x.png"], "model/../album/./x.png"


def _link(home: Path) -> tuple[list[str], str]:
    (home / "out.png").symlink_to("album/x.png")
    return ["album/x.png"], "out.png"


def _hard_link(home: Path) -> tuple[list[str], str]:
    os.link("album/x.png", "out.png")
    return ["album/x.png"], "out.png"


def _folder_link(home: Path) -> tuple[list[str], str]:
    (home / "out").symlink_to("album")
    return ["album"], "out"


def _hard_link_in_folder(home: Path) -> tuple[list[str], str]:
    (home / "out").mkdir()
    os.link("album/x.png", "out/x.png")
    return ["album"], "out"


def _link_to_another(home: Path) -> tuple[list[str], str]:
    """What becomes y.png would replace what becomes x.png: both are read."""
    (home / "out").mkdir()
    shutil.copy("album/x.png", "album/y.png")
    (home / "out/y.png").symlink_to("../album/x.png")
    return ["album"], "out"


@pytest.mark.parametrize(
    "named",
    [
        _same_name,
        _other_spelling,
        _link,
        _hard_link,
        _folder_link,
        _hard_link_in_folder,
        _link_to_another,
    ],
)
def test_an_input_is_never_replaced(
    home: Path, named: Callable[[Path], tuple[list[str], str]]
) -> None:
    inputs, output = named(home)
    before = _state(home)
    with pytest.raises(UserError, match=r"would replace an input, .*name another output"):
        restore(inputs, output, model="model", threads=1)
    assert _state(home) == before


def test_a_link_in_the_output_leads_no_output_out_of_it(home: Path) -> None:
    (home / "in/sub").mkdir(parents=True)
    (home / "in/sub/x.png").write_bytes(png(scene(1, 24, 32)))
    (home / "out").mkdir()
    (home / "out/sub").symlink_to("../album")
    before = _state(home)
    for inputs in (["in"], ["in/**/*.png"]):
        with pytest.raises(UserError, match=r"out/sub is a link out of .*out; remove the link"):
            restore(inputs, "out", model="model", threads=1)
    assert _state(home) == before


def test_where_the_disk_ignores_case_names_that_differ_in_it_are_one(home: Path) -> None:
    for name in ("a.png", "A.png"):
        (home / "album" / name).write_bytes(b"picture")
    assert len(plan(["album"], "out", ".png").files) == 3
    (home / "out").mkdir()
    (home / "OUT").symlink_to(
        "out"
    )  # so that the name in capitals is the same folder, as on such a disk
    with pytest.raises(UserError, match="would both become"):
        plan(["album"], "out", ".png")


def test_a_sheet_does_not_replace_its_photograph(home: Path) -> None:
    before = _state(home)
    with pytest.raises(UserError, match="would replace an input"):
        show(Path("album/x.png"), output=Path("model/../album/x.png"), seed=0)
    assert _state(home) == before


@pytest.mark.parametrize("name", ["../x", "a/../../x", "..", "/x", "a/./x"])
def test_no_object_of_a_store_is_outside_of_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "x").write_bytes(b"kept")
    store = Store(str(tmp_path / "store"))
    for call in (
        lambda: store.put(name, b"changed"),
        lambda: store.put_if(name, b"changed", None),
        lambda: store.get(name),
        lambda: store.delete(name),
        lambda: store.fetch(name, tmp_path / "copy"),
        lambda: store.names(name),
    ):
        with pytest.raises(UserError, match="is no name of an object"):
            call()
    assert (tmp_path / "x").read_bytes() == b"kept"


def test_the_ledger_replaces_no_input_and_no_file_of_others(home: Path) -> None:
    (home / "real").mkdir()
    shutil.copyfile("album/x.png", "real/restored.jsonl")
    (home / "lnk").symlink_to("real")
    with pytest.raises(UserError, match="would replace an input"):
        restore(["lnk/restored.jsonl"], "real", model="model", threads=1)
    (home / "real/restored.jsonl").write_text("my own notes\n")
    with pytest.raises(UserError, match="is not a list of restored files"):
        restore(["album"], "real", model="model", threads=1)
    assert (home / "real/restored.jsonl").read_text() == "my own notes\n"


@pytest.mark.parametrize(
    "line",
    ['{"input": ["x"]}', '{"input": 5}', "[" * 20_000, "9" * 5000, '"\\ud800"', "\u2028"],
    ids=["list", "number", "deep", "long", "surrogate", "separator"],
)
def test_a_strange_line_of_the_ledger_is_passed_over(home: Path, line: str) -> None:
    restore(["album"], "out", model="model", threads=1)
    with (home / "out" / FILE).open("a") as file:
        file.write(f"{line}\n")
    restore(["album"], "out", model="model", threads=1)
    assert _records(home / "out") == {"x.png": ""}


def test_a_pipe_is_waited_for_nowhere(home: Path) -> None:
    (home / "out").mkdir()
    os.mkfifo(home / "out" / FILE)
    with pytest.raises(UserError, match="is no file; remove it"):
        restore(["album"], "out", model="model", threads=1)


def test_names_are_shown_as_they_are_and_steer_no_terminal(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "album/[").mkdir()
    for name in ("[/x].png", "[red]hi[bold].png", "\x1b]0;pwn\x07.png"):
        shutil.copyfile("album/x.png", f"album/{name}")
    restore(["album"], "[/out]", model="model", threads=1)
    restore(["album/[red]hi[bold].png"], "[red]o[bold].png", model="model", threads=1)
    said = "".join(capsys.readouterr())
    assert "[/out]: 4 restored" in said
    assert "[red]o[bold].png" in said
    assert "\x1b]0" not in said


def test_a_name_with_a_zero_byte_has_its_line(home: Path) -> None:
    pd.DataFrame({"image": ["a\0b/x.png", "album/x.png"]}).to_parquet("all.parquet")
    with pytest.raises(UserError, match=r"1 of 2 files .*zero byte"):
        restore(["all.parquet"], "out", model="model", threads=1)
    assert (home / "out/album/x.png").is_file()


def test_a_pattern_that_is_none_is_said(home: Path) -> None:
    with pytest.raises(UserError, match="no pattern of names"):
        plan(["album/[z-a]*.png"], "out", ".png")
    (home / "album/_x.png").write_bytes(b"")
    assert [one.entry.name for one in plan(["album/[!_]*.png"], "out", ".png").files] == ["x.png"]


def test_names_of_files_steer_no_terminal_where_data_are_checked(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = tiny_params()
    content["corpora"]["nature"]["source"] = "album"
    shutil.move("album/x.png", "album/\x1b]0;pwn\x07.png")
    write_params(home, content)
    check()
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\\x1b]0;pwn" in said
