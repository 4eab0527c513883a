"""A file or a folder is the old one or the new one, never half of one."""

import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import pytest

from drdd import files
from drdd.files import atomic_folder, atomic_path, write_bytes, write_json
from tests.conftest import ROOT


def test_a_failed_write_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_bytes(path, b"old")

    def fail_halfway() -> None:
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"half of the ne")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_nothing_is_seen_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"


def test_json_refuses_what_is_no_number(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [0.5]})
    assert (tmp_path / "a.json").read_text() == '{\n  "b": 1,\n  "a": [\n    0.5\n  ]\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert "0.5" in (tmp_path / "a.json").read_text()


def _contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _fill(folder: Path, *names: str) -> None:
    with atomic_folder(folder) as temporary:
        for name in names:
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_text(name)


def test_a_folder_takes_the_place_of_the_old_one_whole(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder"
    _fill(folder, "a", "sub/b")
    assert _contents(folder) == {"a": "a", "sub/b": "sub/b"}
    _fill(folder, "c")
    assert _contents(folder) == {"c": "c"}
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_is_not_seen_before_the_end(tmp_path: Path) -> None:
    _fill(tmp_path / "folder", "old")
    with atomic_folder(tmp_path / "folder") as temporary:
        (temporary / "new").write_text("new")
        assert _contents(tmp_path / "folder") == {"old": "old"}


def test_a_failure_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    def fail_halfway(folder: Path) -> None:
        with atomic_folder(folder) as temporary:
            (temporary / "half").write_text("half")
            raise RuntimeError

    _fill(tmp_path / "folder", "a", "sub/b")
    for name in ("folder", "none"):
        with pytest.raises(RuntimeError):
            fail_halfway(tmp_path / name)
    assert _contents(tmp_path) == {"folder/a": "a", "folder/sub/b": "sub/b"}


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    """Its own temporary folder, not that of a neighbour at work."""
    dies = f"""
import os
from pathlib import Path
from drdd import files
from drdd.files import atomic_folder
with atomic_folder(Path({str(tmp_path)!r}) / "[a]") as temporary:
    (temporary / "half").write_text("half")
    os._exit(1)
"""
    _fill(tmp_path / "[a]", "a")
    assert subprocess.run([sys.executable, "-c", dies], cwd=ROOT).returncode == 1
    assert len(list(tmp_path.iterdir())) == 2
    with atomic_folder(tmp_path / "neighbour") as at_work:
        _fill(tmp_path / "[a]", "b")
        assert at_work.is_dir()
    assert _contents(tmp_path / "[a]") == {"b": "b"}
    assert {path.name for path in tmp_path.iterdir()} == {"[a]", "neighbour"}


def test_what_a_living_process_writes_is_not_cleared_away(tmp_path: Path) -> None:
    """Also of the same folder: the last to end wins."""
    lives = f"""
from pathlib import Path
from drdd.files import atomic_folder
with atomic_folder(Path({str(tmp_path)!r}) / "folder") as temporary:
    (temporary / "a").write_text("a")
    print(flush=True)
    input()
    (temporary / "b").write_text("b")
"""
    other = subprocess.Popen(
        [sys.executable, "-c", lives], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert other.stdout.readline()
    _fill(tmp_path / "folder", "mine")
    assert _contents(tmp_path / "folder") == {"mine": "mine"}
    other.communicate(b"\n")
    assert other.returncode == 0
    assert _contents(tmp_path) == {"folder/a": "a", "folder/b": "b"}


def test_a_reader_misses_no_folder_that_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    if not files._exchanged(tmp_path / "a", tmp_path / "b"):
        pytest.skip("the file system of the temporary folder cannot exchange two names")
    _fill(tmp_path / "folder", "a")
    over, looks, missed = Event(), 0, 0

    def read() -> None:
        nonlocal looks, missed
        while not over.is_set():
            looks += 1
            missed += not (tmp_path / "folder").exists()

    reader = Thread(target=read)
    reader.start()
    for _ in range(300):
        _fill(tmp_path / "folder", "a", "b")
    over.set()
    reader.join()
    assert looks
    assert missed == 0
