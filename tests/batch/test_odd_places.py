"""Inputs and outputs with any name, here and on S3: what exists is meant by its name; the rest is said."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from drdd.batch.ledger import FILE
from drdd.batch.plan import plan
from drdd.cli.main import main
from drdd.cli.restore import restore
from drdd.errors import UserError
from drdd.pictures.files import png
from drdd.storage.filesystems import open_filesystem
from tests.corpora import scene
from tests.inference.test_engine import make_model

PICTURE = png(scene(1, 24, 32))
FOLDERS = [
    "scans [2024-01]",
    "scans [old]",
    "[!x]",
    "what?",
    "star*",
    "{a,b}",
    "a b",
    "[[x]]",
    "#1",
]


@pytest.fixture
def home(workspace: Path) -> Path:
    make_model(workspace / "model")
    _put(workspace / "in/x.png")
    return workspace


def _put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(PICTURE)


def _local(folder: str) -> str:
    for name in ("a.png", "[1].png", "sub/b.png"):
        _put(Path(folder, name))
    _put(Path("other/c.png"))
    return folder


def _names(source: str) -> list[str]:
    return [file.entry.name for file in plan([source], "out", ".png").files]


def _holds(source: str) -> None:
    """A folder or prefix of three pictures is found by its name, and by patterns below it."""
    assert _names(source) == ["[1].png", "a.png", "sub/b.png"]
    assert _names(f"{source}/") == ["[1].png", "a.png", "sub/b.png"]
    assert _names(f"{source}/*.png") == ["[1].png", "a.png"]
    assert _names(f"{source}/**/*.png") == ["[1].png", "a.png", "sub/b.png"]
    assert _names(f"{source}/sub/?.png") == ["b.png"]
    assert _names(f"{source}/[1].png") == ["[1].png"]
    assert _names(f"{source}/[a-c].png") == ["a.png"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_is_meant_by_its_name(home: Path, folder: str) -> None:
    _holds(_local(folder))


@pytest.mark.parametrize("prefix", FOLDERS)
def test_a_prefix_is_meant_by_its_name(
    home: Path, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    where = f"s3://drdd/odd/{prefix}"
    store, root = open_filesystem(where)
    store.pipe({f"{root}/{name}": PICTURE for name in ("a.png", "[1].png", "sub/b.png")})
    _holds(where)


def test_one_object_is_restored_and_written_as_one(
    home: Path, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    store, root = open_filesystem("s3://drdd/one")
    store.pipe({f"{root}/a #[1]?.png": PICTURE})
    source = "s3://drdd/one/a #[1]?.png"
    restore([source], "new/out.png", model="model")
    restore([source], "s3://drdd/one/new [x].png", model="model")
    restore(["in/x.png"], "s3://drdd/one/sent.png", model="model")
    assert store.cat_file(f"{root}/new [x].png") == Path("new/out.png").read_bytes()
    assert store.cat_file(f"{root}/sent.png") == Path("new/out.png").read_bytes()
    with pytest.raises(UserError, match="would be replaced; name another output"):
        restore([source], source, model="model")
    assert store.cat_file(f"{root}/a #[1]?.png") == PICTURE


LONG = "x" * 300
PLACES: dict[str, tuple[list[str], str, str]] = {
    "a name too long": (["in/x.png"], f"{LONG}.png", "File name too long"),
    "a folder too long": (["in/x.png"], f"{LONG}/y.png", "File name too long"),
    "no folder to be made": (["in/x.png"], "/proc/x/y.png", "does not exist"),
    "below a file": (["in/x.png"], "in/x.png/z.png", "x.png"),
    "itself": (["in"], "in", "no picture to restore: all that are there are below"),
    "a picture for a folder": (["in"], "out.png", "names one picture, but in may be several; name"),
    "a long input": ([f"{LONG}{LONG}.png"], "y.png", "File name too long|does not exist"),
    "no pattern": (["in [2024-1]"], "out", "does not exist, and is no pattern of names"),
}


@pytest.mark.parametrize("kind", PLACES)
def test_a_place_that_cannot_be_is_said(home: Path, kind: str) -> None:
    inputs, output, said = PLACES[kind]
    with pytest.raises(UserError, match=said) as raised:
        restore(inputs, output, model="model", threads=1)
    assert "\n" not in str(raised.value)
    assert Path("in/x.png").read_bytes() == PICTURE


@pytest.mark.parametrize("model", ["m" * 5000, "m/" * 3000, "in/x.png"])
def test_a_model_that_cannot_be_is_said(home: Path, model: str) -> None:
    with pytest.raises(UserError) as raised:
        restore(["in/x.png"], "y.png", model=model)
    assert len(str(raised.value)) < 600


def test_no_command_ends_with_a_traceback_of_a_path(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for output in (f"{LONG}.png", "/proc/x/y.png", "in/x.png/z.png"):
        monkeypatch.setattr("sys.argv", ["drdd", "tasks", "show", "-o", output])
        with pytest.raises(SystemExit) as raised:
            main()
        assert raised.value.code == 2
        assert capsys.readouterr().err.startswith("error: ")


def test_what_is_a_file_and_a_folder_of_one_name_is_refused(home: Path) -> None:
    with zipfile.ZipFile("set.zip", "w") as archive:
        for name in ("a.png", "a.png/b.png"):
            archive.writestr(name, PICTURE)
    with pytest.raises(
        UserError, match=r"a\.png would become the file a\.png, which a\.png/b\.png needs"
    ):
        plan(["set.zip"], "out", ".png")


def test_names_as_long_as_a_disk_takes_are_written_and_longer_ones_named(home: Path) -> None:
    fits, long = f"{'y' * 251}.png", f"{'z' * 250}.JPE"
    _put(Path("in", fits))
    with zipfile.ZipFile("set.zip", "w") as archive:
        for name in (fits, long, f"{'é' * 200}.png"):
            archive.writestr(name, PICTURE)
    restore(["in"], "out", model="model", threads=1)
    assert Path("out", fits).is_file()
    with pytest.raises(
        UserError, match=r"1 of 3 files could not be restored .* is longer than 255"
    ):
        restore(["set.zip"], "new", model="model", threads=1)
    assert Path("new", fits).is_file()
    assert Path("new", Path(long).stem + ".png").is_file()


@pytest.mark.parametrize(
    "block", [lambda path: path.mkdir(parents=True), lambda path: _put(path / "y")]
)
def test_one_output_that_cannot_be_written_stops_no_other(
    home: Path, block: Callable[[Path], None]
) -> None:
    _put(Path("in/z.png"))
    block(Path("out/x.png"))
    with pytest.raises(UserError, match=r"1 of 2 files could not be restored .* x\.png: "):
        restore(["in"], "out", model="model", threads=1)
    assert Path("out/z.png").is_file()


def test_a_picture_that_is_not_read_has_its_line(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in/y.heic").write_bytes(b"")
    Path("in/notes.txt").write_bytes(b"")
    with pytest.raises(
        UserError, match=r"1 of 2 files could not be restored .* y\.heic: HEIC is not"
    ):
        restore(["in"], "out", model="model", threads=1)
    assert "1 other file: no picture by the suffix: 1 .txt" in capsys.readouterr().out
    assert "HEIC is not read; convert it" in Path("out", FILE).read_text()
