"""`drdd data check` says of lists, tables and pairs what the stages will make of them."""

import shutil
from pathlib import Path
from typing import Any
from zipfile import ZIP_BZIP2, ZipFile

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from drdd.cli.data import Checked, _table, checked, out
from drdd.data.pairs import read_pairs
from drdd.errors import UserError
from drdd.params import validate
from drdd.pictures.files import png
from drdd.progress import Reporter
from drdd.stages.ingest import ingest
from drdd.stages.ingest_pairs import ingest_pairs
from drdd.stages.paths import CORPORA, MEMBERS
from tests.corpora import scene
from tests.project import tiny_params

NAMES = [f"in/{n}.png" for n in range(4)]
# Ways in which people write a line, right and wrong.
LINES = [
    *NAMES,
    "in/0.png (70, 70,3)",
    "in/1.png (70,70)",
    "  in/2.png\t",
    "./in/3.png",
    "in/../in/0.png",
    r"in\1.png",
    r"C:\photos\1.png",
    '"in/0.png"',
    "in/9.png",
    "in",
    "in/",
    "/nowhere/1.png",
    "in/0.png,1",
    "http://example.org/1.png",
    "s3:/in/0.png",
    "in/caf\xe9.png",
    "in/empty.png",
    "in/pointer.png",
    "in/phone.jpg",
    "in/broken_link.png",
    "~/1.png",
]


@pytest.fixture
def folder(workspace: Path) -> Path:
    for side in ("in", "gt"):
        Path(f"l/{side}").mkdir(parents=True)
        for n in range(4):
            Path(f"l/{side}/{n}.png").write_bytes(png(scene(n + 10 * len(side), 70, 70)))
    Path("l/in/empty.png").touch()
    Path("l/in/pointer.png").write_text("version https://git-lfs.github.com/spec/v1\n")
    Path("l/in/phone.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0heic" + bytes(64))
    Path("l/in/broken_link.png").symlink_to("nowhere.png")
    return workspace


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_a_folder_is_checked_as_it_is_taken_in(folder: Path, packed: bool) -> None:
    source = "l/in"
    if packed:
        source = "l/in.zip"
        with ZipFile(source, "w") as archive:
            archive.write("l/in/0.png", "0.png")
            archive.write("l/in/1.png", "1.png", compress_type=ZIP_BZIP2)
    content = _content(corpora={"mine": {"source": source}})
    said = _said(content, "corpora.mine")
    count, aside, error = _made(content, "mine")
    assert (said.missing, error) == ("", "")
    assert said.found == f"{count} images"
    assert {one.name for one in said.aside} == aside
    assert len(aside) == (1 if packed else 4)


def test_a_list_in_latin_1_is_called_so(folder: Path) -> None:
    Path("l/in/caf\xe9.png").write_bytes(Path("l/in/0.png").read_bytes())
    Path("l/latin.txt").write_bytes("in/caf\xe9.png\n".encode("latin-1"))
    content = _content(corpora={"mine": {"source": "l/latin.txt"}})
    said = _said(content, "corpora.mine").missing
    assert "does not exist; the name is no UTF-8" in said
    assert "Latin-1: save it as UTF-8" in said
    assert _made(content, "mine")[2] == said


def _content(
    corpora: dict[str, Any] | None = None, paired: dict[str, Any] | None = None
) -> dict[str, Any]:
    content = tiny_params()
    content["corpora"] |= corpora or {}
    content["paired"] = paired or {}
    content["ingest"] |= {"near_duplicates": 0.0, "min_side": 32}
    return content


def _said(content: dict[str, Any], key: str) -> Checked:
    return next(one for one in checked(validate(content)) if one.key == key)


def _made(content: dict[str, Any], name: str) -> tuple[int, set[str], str]:
    """(pictures or pairs, the names of what was set aside, the error or "") of the stage."""
    shutil.rmtree(CORPORA, ignore_errors=True)
    stage = ingest if name in content["corpora"] else ingest_pairs
    try:
        stage(validate(content), Reporter(name), name)
    except UserError as error:
        return 0, set(), str(error)
    table = pd.read_csv(CORPORA / name / "quarantine.csv")
    members = read_pairs(CORPORA / name / MEMBERS)
    return len(members), set(table.iloc[:, 0]), ""


@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    lines=st.lists(st.sampled_from(LINES), min_size=1, max_size=6, unique=True),
    ending=st.sampled_from(["\n", "\r\n"]),
    table=st.booleans(),
)
def test_a_list_is_checked_as_it_is_taken_in(
    folder: Path, lines: list[str], ending: str, table: bool
) -> None:
    if table:
        source = "l/list.csv"
        pd.DataFrame({"image": lines}).to_csv(source, index=False, lineterminator=ending)
    else:
        source = "l/list.txt"
        text = ending.join(["# a comment", "", *lines, ""])
        Path(source).write_bytes(text.encode())
    content = _content(corpora={"mine": {"source": source}})
    said = _said(content, "corpora.mine")
    count, aside, error = _made(content, "mine")
    if error:
        assert said.missing == error
        return
    assert said.missing == ""
    assert said.found == f"{count} images"
    assert {one.name for one in said.aside} == aside


def test_backslashes_are_explained(folder: Path) -> None:
    Path("l/back.txt").write_bytes(b"in\\1.png\r\n")
    content = _content(corpora={"back": {"source": "l/back.txt"}})
    said = _said(content, "corpora.back").missing
    assert "none of 1 files is usable" in said
    assert "does not exist; folders are separated by /" in said
    assert _made(content, "back")[2] == said


@pytest.mark.parametrize(
    ("inputs", "targets"),
    [
        (["in/0.png", "in/1.png"], ["gt/0.png", "gt/1.png"]),
        (["in/0.png", "in/7.png"], ["gt/0.png", "gt/7.png"]),
        (["in/0.png (70,70,3)", "in/1.png"], ["gt/0.png", "gone/1.png"]),
        (["in/7.png"], ["gt/7.png"]),
        ([r"in\1.png"], [r"gt\1.png"]),
    ],
)
def test_pairs_are_checked_as_they_are_taken_in(
    folder: Path, inputs: list[str], targets: list[str]
) -> None:
    Path("l/in.txt").write_text("\n".join(inputs))
    Path("l/gt.txt").write_text("\n".join(targets))
    lists = {"input": "l/in.txt", "target": "l/gt.txt"}
    pd.DataFrame({"input": inputs, "target": targets}).to_csv("l/both.csv", index=False)
    table = {"input": "l/both.csv", "target": "l/both.csv"}
    for paired in (lists, table, lists | {"match": "row"}):
        content = _content(paired={"mine": paired})
        said = _said(content, "paired.mine")
        count, aside, error = _made(content, "mine")
        if error:
            assert said.missing == error
            continue
        assert said.missing == ""
        assert said.found == f"{count} pairs"
        assert {one.name for one in said.aside} == aside


def test_where_to_obtain_what_is_missing_stands_on_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out.print(_table([Checked("corpora.foo", missing="nope does not exist\nobtain: room 12")]))
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[-1] == "obtain: room 12"
    assert lines[-2].endswith("nope does not exist")
