"""A corpus is any folder, list or table of images; what is missing or unreadable is said, never lost."""

import json
import multiprocessing
import os
import pickle
import resource
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from drdd.errors import TransientError, UserError
from drdd.sources.entry import Blob, Entry, Fetcher, Rejected, rows
from drdd.sources.listing import entries
from drdd.sources.packages import package_file

NOBODY = 65534


def _write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def _names(source: Path | str, include: str | None = None) -> list[str]:
    return [entry.name for entry in entries(str(source), include).files]


def _fetched(source: Path | str, column: str = "image") -> dict[str, Blob | Rejected]:
    with Fetcher() as fetcher:
        found = [fetcher.fetch(entry) for entry in entries(str(source), column=column).files]
    by_name = {item.name: item for item in found}
    assert len(by_name) == len(found)
    return by_name


def _reason(item: Blob | Rejected) -> str:
    assert isinstance(item, Rejected)
    return item.reason


def test_images_come_in_order_of_name_from_all_folders_below(tmp_path: Path) -> None:
    _write(tmp_path, "b.PNG", "sub/a.jpg", "notes.txt", ".hidden.png", "a.webp")
    _write(tmp_path, "__MACOSX/a.png", "sub/.cache/a.png", "sub.png/deep.tif")
    assert _names(tmp_path) == ["a.webp", "b.PNG", "sub.png/deep.tif", "sub/a.jpg"]
    assert all(item == Blob(name, name.encode()) for name, item in _fetched(tmp_path).items())


def test_a_regular_expression_chooses_among_the_paths(tmp_path: Path) -> None:
    _write(tmp_path, "train/1.png", "train/2.png", "test/1.png")
    assert _names(tmp_path, "^train/") == ["train/1.png", "train/2.png"]
    assert _names(tmp_path, r"1\.") == ["test/1.png", "train/1.png"]
    with pytest.raises(UserError, match=r"matches none of 3 files, such as test/1\.png"):
        _names(tmp_path, "^val/")


def test_an_entry_can_be_read_in_another_process_and_folder(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(workspace, "in/a.png")
    (entry,) = pickle.loads(pickle.dumps(entries("in").files))
    (workspace / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    with Fetcher() as fetcher:
        assert fetcher.fetch(entry) == Blob("a.png", b"in/a.png")


def test_a_missing_and_an_empty_source_are_refused(tmp_path: Path) -> None:
    _write(tmp_path, "folder/readme.md", "empty.txt", "film.mp4")
    (tmp_path / "empty.txt").write_text("# nothing yet\n\n")
    for name in ("none", "none.zip", "none.tar.gz", "none.txt", "none.csv"):
        with pytest.raises(UserError, match="does not exist"):
            entries(str(tmp_path / name))
    with pytest.raises(UserError, match=r"film\.mp4 is no folder"):
        entries(str(tmp_path / "film.mp4/below"))
    with pytest.raises(
        UserError, match=r"holds no image file .* 1 other file: no picture by .* 1 \.md"
    ):
        entries(str(tmp_path / "folder"))
    with pytest.raises(UserError, match="names no file"):
        entries(str(tmp_path / "empty.txt"))
    with pytest.raises(UserError, match="a file of another kind; a source is a folder"):
        entries(str(tmp_path / "film.mp4"))
    with pytest.raises(UserError, match="a source is a folder"):
        entries("https://example.org/images.zip")


def test_links_that_lead_nowhere_and_pipes_are_named(tmp_path: Path) -> None:
    _write(tmp_path, "good.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    os.mkfifo(tmp_path / "pipe.png")
    found = _fetched(tmp_path)
    assert found["good.png"] == Blob("good.png", b"good.png")
    assert "does not exist" in _reason(found["gone.png"])
    assert "symbolic links" in _reason(found["circle.png"])
    assert "no regular file" in _reason(found["pipe.png"])


def test_each_folder_is_listed_once_however_links_lead_to_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    _write(source, "a/1.png", "b/2.png")
    _write(tmp_path, "outside/3.png")
    for link, target in {
        "a/up": source,
        "a/b": source / "b",
        "b/a": source / "a",
        "0": source / "a",
        "self": source / "self",
        "more": tmp_path / "outside",
        "again": tmp_path / "outside",
    }.items():
        (source / link).symlink_to(target)
    (tmp_path / "outside/back").symlink_to(source)
    assert _names(source) == ["a/1.png", "again/3.png", "b/2.png"]
    (tmp_path / "linked").symlink_to(source)
    assert _names(tmp_path / "linked") == _names(source)


def test_a_linked_file_is_read(tmp_path: Path) -> None:
    _write(tmp_path, "files/1.png", "links/0.png")
    (tmp_path / "links/1.png").symlink_to("../files/1.png")
    assert _fetched(tmp_path / "links")["1.png"] == Blob("1.png", b"files/1.png")


def test_listing_asks_nothing_of_the_single_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, *(f"{i}.png" for i in range(1000)))
    asked: list[str] = []
    stat = os.stat

    def counting(path: str, **how: bool) -> os.stat_result:
        asked.append(path)
        return stat(path, **how)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", counting)
        assert len(_names(tmp_path)) == 1000
    assert len(asked) < 10


def test_a_name_that_is_no_utf_8_is_spelled_out_and_its_file_read(tmp_path: Path) -> None:
    for name in (b"caf\xe9.png", b"\xff\xfe/1.png", "é.png".encode()):
        path = os.fsdecode(os.fsencode(tmp_path) + b"/" + name)
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_bytes(name)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/gone\xe9.png")).symlink_to("nowhere")
    (tmp_path / r"caf\xe9.png").write_bytes(b"spelled like another")
    found = _fetched(tmp_path)
    assert found[r"caf\xe9.png"] != found[r"caf\xe9.png (2)"]
    assert found[r"\xff\xfe/1.png"] == Blob(r"\xff\xfe/1.png", b"\xff\xfe/1.png")
    assert found["é.png"] == Blob("é.png", "é.png".encode())
    assert "does not exist" in _reason(found[r"gone\xe9.png"])
    texts = [*found, *(i.reason for i in found.values() if isinstance(i, Rejected))]
    assert json.loads(json.dumps(texts, ensure_ascii=False).encode()) == texts
    assert pa.array(texts).to_pylist() == texts


@pytest.fixture
def as_nobody() -> Iterator[Callable[[str], dict[str, Blob | Rejected]]]:
    """_fetched, by a process without rights; root may read whatever the permissions say."""
    become = (os.setuid, (NOBODY,)) if os.geteuid() == 0 else (None, ())
    with multiprocessing.get_context("fork").Pool(1, *become) as pool:
        yield lambda source: pool.apply(_fetched, (source,))


def test_what_permissions_forbid_is_named(
    as_nobody: Callable[[str], dict[str, Blob | Rejected]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        _write(folder, "open.png", "shut.png", "shut/1.png")
        (folder / "shut.png").chmod(0)
        (folder / "shut").chmod(0)
        found = as_nobody(name)
        assert found["open.png"] == Blob("open.png", b"open.png")
        assert "access refused" in _reason(found["shut.png"])
        assert "cannot be listed (Permission denied)" in _reason(found["shut"])
        folder.chmod(0)
        with pytest.raises(UserError, match="access refused"):
            as_nobody(name)
        folder.chmod(0o755)


def test_a_failure_that_is_not_the_files_own_may_pass(tmp_path: Path) -> None:
    _write(tmp_path, "1.png")
    (entry,) = entries(str(tmp_path)).files
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Fetcher() as fetcher:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(TransientError, match="Too many open files"):
                fetcher.fetch(entry)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert isinstance(fetcher.fetch(entry), Blob)


def test_a_list_names_files_in_its_own_order(tmp_path: Path) -> None:
    _write(tmp_path, "b.png", "sub/a.png", "raw/odd.data", "elsewhere/c.png")
    lines = ["# degraded", "sub/a.png", "", " ./b.png", str(tmp_path / "raw/odd.data")]
    lines += ["../elsewhere/c.png", "../raw", "gone.png", "http://example.org/a.png"]
    _write(tmp_path / "lists", "all.txt")
    for bom, end in (("", "\n"), ("\ufeff", "\r\n")):
        text = bom + end.join(["../" + x if x in ("sub/a.png", "gone.png") else x for x in lines])
        (tmp_path / "lists/all.txt").write_bytes(text.replace(" ./b", " .././b").encode())
        found = _fetched(tmp_path / "lists/all.txt")
        assert [name.rpartition("/")[2] for name in found] == [
            "a.png", "b.png", "odd.data", "c.png", "raw", "gone.png", "a.png",
        ]  # fmt: skip
        assert [item.content for item in found.values() if isinstance(item, Blob)] == [
            b"sub/a.png", b"b.png", b"raw/odd.data", b"elsewhere/c.png",
        ]  # fmt: skip
        assert "a folder" in _reason(found["../raw"])
        assert "does not exist" in _reason(found["../gone.png"])
        assert "alone" in _reason(found["http://example.org/a.png"])


def test_what_a_list_repeats_is_read_once_and_said(tmp_path: Path) -> None:
    _write(tmp_path, "a.png", "b.png")
    (tmp_path / "list.txt").write_text("a.png\nb.png\n./a.png\n")
    found = _fetched(tmp_path / "list.txt")
    assert list(found) == ["a.png", "b.png", "a.png (2)"]
    assert "names a.png more than once" in _reason(found["a.png (2)"])


def test_a_list_may_name_what_is_no_utf_8(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(path)).write_bytes(b"x")
    (tmp_path / "list.txt").write_bytes(b"caf\xe9.png\n")
    (tmp_path / "table.csv").write_bytes(b"image\ncaf\xe9.png\n")
    for name in ("list.txt", "table.csv"):
        assert _fetched(tmp_path / name) == {r"caf\xe9.png": Blob(r"caf\xe9.png", b"x")}


def _as_csv(table: pd.DataFrame, path: Path) -> Path:
    table.to_csv(path.with_suffix(".csv"), index=False)
    return path.with_suffix(".csv")


def _as_parquet(table: pd.DataFrame, path: Path) -> Path:
    table.to_parquet(path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


@pytest.mark.parametrize("as_file", [_as_csv, _as_parquet])
def test_a_table_names_files_in_a_column(
    tmp_path: Path, as_file: Callable[[pd.DataFrame, Path], Path]
) -> None:
    _write(tmp_path, "b, c.png", "a.png", "clean/1.png")
    targets = ["clean/1.png", "clean/1.png", "clean/2.png"]
    columns = {"id": [1, 2, 3], "image": ["b, c.png", None, "a.png"], "target": targets}
    table = as_file(pd.DataFrame(columns), tmp_path / "table")
    found = _fetched(table)
    assert list(found) == ["b, c.png", "row 2", "a.png"]
    assert found["b, c.png"] == Blob("b, c.png", b"b, c.png")
    assert "names no file" in _reason(found["row 2"])
    pairs = [(one.name, other.name) for one, other in rows(str(table), ("image", "target"))]
    assert pairs == list(zip(found, targets, strict=True))
    with pytest.raises(UserError, match="no column 'imgae', did you mean 'image'"):
        entries(str(table), column="imgae")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "no column 'image'; its columns are none"),
        ("b.csv", b'image\n"a.png\n', "no table of comma-separated values"),
        ("c.parquet", b"PAR1 and no more", "no Parquet table"),
        ("d.parquet", b"", "no Parquet table"),
        ("e.txt", "a.png\n".encode("utf-16"), "is in UTF-16; save it as UTF-8"),
        ("f.csv", b"\x89PNG\r\n\x00\x00", "holds a zero byte, so it is no text"),
    ],
)
def test_a_damaged_list_is_one_error(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        entries(str(tmp_path / name))
    assert name in str(error.value)


def test_a_column_of_no_paths_is_refused(tmp_path: Path) -> None:
    table = _as_parquet(pd.DataFrame({"image": [b"\x89PNG", b"\x89PNG"]}), tmp_path / "t")
    with pytest.raises(UserError, match="column 'image' holds binary, not paths as text"):
        entries(str(table))


def test_a_folder_may_be_called_like_a_list_or_an_archive(tmp_path: Path) -> None:
    for name in ("set.zip", "set.csv"):
        _write(tmp_path / name, "1.png")
        assert _names(tmp_path / name) == ["1.png"]


def test_what_is_refused_is_not_filtered_away(tmp_path: Path) -> None:
    _write(tmp_path, "1.png")
    (tmp_path / "t.csv").write_text("image,n\n1.png,1\n,2\n")
    assert _names(tmp_path / "t.csv", "png$") == ["1.png", "row 2"]


def test_bundled_photographs_are_found_or_said_missing() -> None:
    assert package_file("skimage/data/chelsea.png").is_file()
    with pytest.raises(UserError, match="does not bundle"):
        package_file("skimage/data/dog.png")
    with pytest.raises(UserError, match="not installed"):
        package_file("no_such_package/x.png")


def test_an_entry_is_small(tmp_path: Path) -> None:
    """100,000 of them travel to workers."""
    _write(tmp_path, *(f"{i}.png" for i in range(100)))
    found: list[Entry] = entries(str(tmp_path)).files
    assert len(pickle.dumps(found)) < 100 * (len(found[0].where) + 100)
