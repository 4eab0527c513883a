"""The base's photographs, fetched by package name and kept by hash, from packages that the test builds."""

import hashlib
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from drdd.base.photographs import Photograph
from drdd.errors import UserError
from infra.base.photographs import fetch
from infra.base.resources import unpack

PLAIN, INNER = b"a plain picture", b"a picture of a resource file"
needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb")


def resources(files: dict[str, bytes], packed: bool = False) -> bytes:
    """A resource file of version 1, written by the format's description: a root, a folder, its files."""
    names, data, nodes = b"", b"", []
    for name in ("folder", *files):
        offset = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        if name in files:
            content = files[name]
            if packed:
                content = struct.pack(">I", len(content)) + zlib.compress(content)
            nodes.append(struct.pack(">IHHHI", offset, int(packed), 0, 0, len(data)))
            data += struct.pack(">I", len(content)) + content
        else:
            nodes.append(struct.pack(">IHII", offset, 2, len(files), 2))
    tree = struct.pack(">IHII", 0, 2, 1, 1) + b"".join(nodes)
    places = (1, 20, 20 + len(tree), 20 + len(tree) + len(data))
    return b"qres" + struct.pack(">4I", *places) + tree + data + names


def photograph(
    path: str, content: bytes, package: str = "pictures", kind: str = "debian"
) -> Photograph:
    digest = hashlib.sha256(content).hexdigest()
    return Photograph(package, kind, "1", path, digest, "Ann", "CC0-1.0", "", "train")


def machine(folder: Path, monkeypatch: pytest.MonkeyPatch, apt_get: str) -> None:
    """A PATH with this apt-get, and dpkg-deb and tar if the machine has them."""
    folder.mkdir(exist_ok=True)
    for tool in ("dpkg-deb", "tar", "sh", "cp"):
        where, link = shutil.which(tool), folder / tool
        if where and not link.exists():
            link.symlink_to(where)
    if apt_get:
        (folder / "apt-get").write_text(f"#!/bin/sh\n{apt_get}\n")
        (folder / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A Debian package with a picture, and another inside a resource file."""
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        "Package: pictures\nVersion: 1\nArchitecture: all\nMaintainer: Ann <a@b.c>\nDescription: x\n"
    )
    (root / "usr/share").mkdir(parents=True)
    (root / "usr/share/plain.png").write_bytes(PLAIN)
    (root / "usr/share/more.rcc").write_bytes(resources({"inner.webp": INNER}))
    path = tmp_path / "pictures_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", root, path], check=True, capture_output=True)
    return path


@needs_dpkg
def test_the_listed_files_are_taken_and_a_second_run_asks_for_nothing(
    tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [
        photograph("usr/share/plain.png", PLAIN),
        photograph("usr/share/more.rcc/folder/inner.webp", INNER),
    ]
    machine(tmp_path / "bin", monkeypatch, f'[ "$3" = pictures ] && cp {archive} .')
    lines: list[str] = []
    assert fetch(tmp_path / "out", wanted, lines.append) == []
    assert lines == ["1/1 pictures: 2 photographs"]
    assert {p.name: p.read_bytes() for p in (tmp_path / "out/train/pictures").iterdir()} == {
        "plain.png": PLAIN,
        "inner.webp": INNER,
    }
    machine(tmp_path / "empty", monkeypatch, "")
    assert fetch(tmp_path / "out", wanted, lines.append) == []
    (tmp_path / "out/train/pictures/plain.png").write_bytes(b"half a pic")
    machine(tmp_path / "bin", monkeypatch, f"cp {archive} .")
    assert fetch(tmp_path / "out", wanted, lines.append) == []
    assert (tmp_path / "out/train/pictures/plain.png").read_bytes() == PLAIN
    assert lines[1:] == ["1/1 pictures: 1 photographs"]


@needs_dpkg
def test_what_changed_or_is_gone_is_named_and_the_others_are_fetched(
    tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = photograph("usr/share/plain.png", PLAIN)
    changed = photograph("usr/share/more.rcc/folder/inner.webp", b"what it was")
    removed = photograph("usr/share/removed.png", b"another")
    gone = photograph("usr/share/plain.png", PLAIN, package="gone")
    gone_says = 'echo "E: Unable to locate package $3" >&2; exit 100'
    machine(tmp_path / "bin", monkeypatch, f"[ $3 = gone ] && {{ {gone_says}; }}; cp {archive} .")
    lines: list[str] = []
    missing = fetch(tmp_path / "out", [gone, good, changed, removed], lines.append)
    assert missing == [gone, changed, removed]
    assert lines == [
        "1/2 gone: 0 photographs (E: Unable to locate package gone)",
        "2/2 pictures: 1 photographs, 2 missing",
    ]
    assert [path.name for path in (tmp_path / "out").rglob("*.*")] == ["plain.png"]


def test_a_machine_without_the_tools_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    wanted = [
        photograph("skimage/data/coffee.png", b"x", "scikit-image", "pypi"),
        photograph("usr/share/plain.png", PLAIN),
    ]
    with pytest.raises(UserError, match="no apt-get and no dpkg-deb; run this command on Debian"):
        fetch(tmp_path / "out", wanted, pytest.fail)
    assert not (tmp_path / "out").exists()


def test_pictures_of_installed_distributions_are_read_where_they_are(tmp_path: Path) -> None:
    import skimage

    content = (Path(skimage.__file__).parent / "data/coffee.png").read_bytes()
    coffee = photograph("skimage/data/coffee.png", content, "scikit-image", "pypi")
    absent = photograph("nowhere/x.png", b"x", "no-such-distribution", "pypi")
    assert fetch(tmp_path, [coffee, absent], lambda _: None) == [absent]
    assert (tmp_path / "train/scikit-image/coffee.png").read_bytes() == content


@pytest.mark.parametrize("packed", [False, True])
def test_a_resource_file_gives_back_its_files(packed: bool) -> None:
    files = {"one.webp": b"1" * 1000, "zwei-\u00e4.png": b"", "three": b"\x00\xff"}
    found = dict(unpack(resources(files, packed)))
    assert found == {f"folder/{name}": content for name, content in files.items()}


def test_another_file_is_no_resource_file() -> None:
    with pytest.raises(ValueError, match="not a Qt resource file"):
        list(unpack(b"PK\x03\x04 a zip archive"))
