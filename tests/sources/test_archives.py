"""An archive is a folder that is read in place: at random, in bounded memory, never by a member's name."""

import gzip
import io
import os
import random
import resource
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from drdd.errors import UserError
from drdd.sources import bounds, entry
from drdd.sources.entry import Blob, Fetcher, Rejected
from drdd.sources.listing import entries

Content = Iterable[tuple[str, bytes]]


def _zip(path: Path, content: Content) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content:
            archive.writestr(name, data)


def _tar(path: Path, content: Content) -> None:
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as archive:
        for name, data in content:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


KINDS: dict[str, Callable[[Path, Content], None]] = {
    ".zip": _zip,
    ".tar": _tar,
    ".tar.gz": _tar,
    ".tgz": _tar,
}


def _picture(n: int) -> bytes:
    return random.Random(n).randbytes(700 + 300 * (n % 5))


PICTURES = {f"d/{n:02}.png": _picture(n) for n in range(20)}


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pack(workspace: Path, kind: str) -> Callable[[Content], str]:
    """Packs an archive of one kind, in an otherwise empty current folder."""

    def packed(content: Content) -> str:
        path = workspace / f"set{kind}"
        KINDS[kind](path, content)
        return str(path)

    return packed


Pack = Callable[[Content], str]


def _fetched(source: str, order: Callable[[list], object] = lambda found: None) -> dict:
    found = entries(source).files
    order(found)
    with Fetcher() as fetcher:
        return {entry.name: fetcher.fetch(entry) for entry in found}


def test_members_are_read_in_any_order(pack: Pack) -> None:
    others = {"./d/./b.jpg": b"b", "d/notes.txt": b"", ".x/a.png": b"", "__MACOSX/d/a.png": b""}
    source = pack([*reversed(PICTURES.items()), *others.items()])
    expected = {**PICTURES, "d/b.jpg": b"b"}
    assert [entry.name for entry in entries(source).files] == sorted(expected)
    for order in (list.reverse, random.Random(0).shuffle):
        found = _fetched(source, order)
        assert found == {name: Blob(name, data) for name, data in expected.items()}


def test_of_members_with_one_name_the_last_counts(pack: Pack) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's own, of what is meant here
        source = pack([("a.png", b"old"), ("b.png", b"b"), ("a.png", b"new")])
    assert _fetched(source) == {"a.png": Blob("a.png", b"new"), "b.png": Blob("b.png", b"b")}


def test_members_that_climb_are_refused_and_written_nowhere(pack: Pack, workspace: Path) -> None:
    names = ["../up.png", "/abs.png", "a/../../up.png", "..\\up.png", "a/b..c/fine.png"]
    source = pack((name, b"x") for name in names)
    outside = set(workspace.parent.iterdir())
    found = list(_fetched(source).values())
    assert [item.name for item in found if isinstance(item, Blob)] == ["a/b..c/fine.png"]
    refused = [item for item in found if isinstance(item, Rejected)]
    assert len(refused) == 4
    assert all("absolute or climbs" in item.reason for item in refused)
    assert set(workspace.parent.iterdir()) == outside
    assert {path.name for path in workspace.iterdir()} <= {Path(source).name, ".drdd"}


@pytest.mark.parametrize("harm", ["cut", "bytes", "block"])
def test_a_damaged_archive_is_an_error_or_loses_only_what_is_named(pack: Pack, harm: str) -> None:
    """Whole members are as packed, but where the format has no checksum: a tar's content."""
    source = pack(PICTURES.items())
    whole = Path(source).read_bytes()
    draw = random.Random(harm)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        place = draw.randrange(len(whole))
        if harm == "cut":
            del damaged[place:]
        elif harm == "bytes":
            for _ in range(5):
                damaged[draw.randrange(len(whole))] = draw.randrange(256)
        else:
            damaged[place : place + 600] = draw.randbytes(len(damaged[place : place + 600]))
        Path(source).write_bytes(damaged)
        try:
            found = _fetched(source)
        except UserError:
            refused += 1
            continue
        assert all(isinstance(item, Blob | Rejected) for item in found.values())
        if source.endswith(("gz", ".zip")):
            blobs = {name: item for name, item in found.items() if isinstance(item, Blob)}
            assert blobs.items() <= {n: Blob(n, data) for n, data in PICTURES.items()}.items()
    assert refused


def test_a_broken_header_does_not_hide_the_members_behind_it(workspace: Path) -> None:
    _tar(workspace / "set.tar", PICTURES.items())
    content = bytearray((workspace / "set.tar").read_bytes())
    content[content.index(b"d/07.png")] ^= 1
    (workspace / "set.tar").write_bytes(content)
    with pytest.raises(UserError, match="damaged archive"):
        entries(str(workspace / "set.tar"))


def test_a_file_that_is_no_archive_is_refused(pack: Pack) -> None:
    source = pack([])
    for content in (b"", b"this is text", gzip.compress(b"text, but compressed")):
        Path(source).write_bytes(content)
        with pytest.raises(UserError, match="damaged archive, or none of this kind"):
            entries(source)


def test_an_archive_without_images_is_refused(pack: Pack) -> None:
    with pytest.raises(UserError, match="holds no image file"):
        entries(pack([("readme.txt", b"")]))


def test_a_member_that_claims_too_much_is_not_read(
    pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "LARGEST", 10_000)
    found = _fetched(pack([("bomb.png", bytes(10_001)), ("good.png", b"x")]))
    assert "more than any image has" in found["bomb.png"].reason
    assert found["good.png"] == Blob("good.png", b"x")


def test_an_encrypted_member_is_named(workspace: Path) -> None:
    _zip(workspace / "set.zip", [("a.png", b"a")])
    content = bytearray((workspace / "set.zip").read_bytes())
    content[6] |= 1  # the flag in its own header
    content[content.index(b"PK\1\2") + 8] |= 1  # and in the directory
    (workspace / "set.zip").write_bytes(content)
    assert "encrypted" in _fetched(str(workspace / "set.zip"))["a.png"].reason


def test_links_in_a_tar(workspace: Path) -> None:
    _tar(workspace / "set.tar", [("a.png", b"a")])
    with tarfile.open(workspace / "set.tar", "a") as archive:
        for name, kind in (("hard.png", tarfile.LNKTYPE), ("soft.png", tarfile.SYMTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a.png"
            archive.addfile(info)
    found = _fetched(str(workspace / "set.tar"))
    assert found["hard.png"] == Blob("hard.png", b"a")
    assert "a link" in found["soft.png"].reason


def test_a_name_that_is_no_utf_8_is_spelled_out(workspace: Path) -> None:
    _tar(workspace / "set.tar", [(os.fsdecode(b"caf\xe9.png"), b"x")])
    assert _fetched(str(workspace / "set.tar")) == {r"caf\xe9.png": Blob(r"caf\xe9.png", b"x")}


@pytest.fixture
def decompressions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each decompression."""
    counted: list[int] = []
    decompress = entry.decompress

    def counting(*files: object) -> None:
        counted.append(1)
        decompress(*files)  # type: ignore[arg-type]

    monkeypatch.setattr(entry, "decompress", counting)
    return counted


def test_a_compressed_tar_is_decompressed_once_for_all_who_read_it(
    workspace: Path, decompressions: list[int]
) -> None:
    _tar(workspace / "set.tgz", PICTURES.items())
    found = entries("set.tgz").files
    together = Barrier(4)

    def read(_: int) -> list[Blob | Rejected]:
        with Fetcher() as fetcher:
            items = [fetcher.fetch(entry) for entry in reversed(found)]
            together.wait(timeout=60)
            return items

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(read, range(4)))
    assert decompressions == [1]
    assert results[0] == [Blob(name, data) for name, data in reversed(PICTURES.items())]
    assert results == results[:1] * 4
    assert list(Path(".drdd/scratch").iterdir()) == []


def test_a_changed_archive_is_decompressed_anew(workspace: Path, decompressions: list[int]) -> None:
    _tar(workspace / "set.tgz", PICTURES.items())
    (first, *_) = entries("set.tgz").files
    with Fetcher() as fetcher:
        assert fetcher.fetch(first) == Blob("d/00.png", PICTURES["d/00.png"])
        _tar(workspace / "set.tgz", [("d/00.png", b"new"), ("d/01.png", b"other")])
        with Fetcher() as another:
            assert another.fetch(entries("set.tgz").files[0]) == Blob("d/00.png", b"new")
    assert decompressions == [1, 1]


def test_what_a_killed_process_left_is_deleted_by_the_next(workspace: Path) -> None:
    _tar(workspace / "set.tgz", PICTURES.items())
    (first, *_) = entries("set.tgz").files
    child = os.fork()
    if not child:
        Fetcher().fetch(first)
        os._exit(0)  # without leaving
    os.waitpid(child, 0)
    assert len(list(Path(".drdd/scratch").iterdir())) == 1
    _tar(workspace / "other.tgz", PICTURES.items())
    assert all(isinstance(item, Blob) for item in _fetched("other.tgz").values())
    assert list(Path(".drdd/scratch").iterdir()) == []


def test_a_full_disk_is_said(workspace: Path) -> None:
    _tar(workspace / "set.tgz", [("a.png", bytes(4_000_000))])
    (entry,) = entries("set.tgz").files
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(UserError, match="no room to decompress"), Fetcher() as fetcher:
            fetcher.fetch(entry)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(Path(".drdd/scratch").iterdir()) == []
