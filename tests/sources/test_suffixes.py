"""No picture is passed over without a word: what can be read is, the rest has a row with the reason."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drdd.errors import UserError
from drdd.intake.decoding import Limits, decode
from drdd.params.data import Paired
from drdd.pictures.errors import PictureError
from drdd.pictures.opening import FORMATS
from drdd.sources import suffixes as suffixes_module
from drdd.sources.entry import Blob, Fetcher
from drdd.sources.listing import Listing, entries
from drdd.sources.matching import match
from drdd.storage.filesystems import open_filesystem
from tests.sources.test_archives import KINDS

PIXELS = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
ANY = Limits(1, 10_000, 10**9)


def encoded(format_: str, mode: str = "RGB", **options: object) -> bytes:
    content = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(content, format_, **options)
    return content.getvalue()


# As cameras write them: the first page is a small copy of the picture (NewSubfileType 1).
RAW = encoded("TIFF", tiffinfo={254: 1})
READ = {
    "a.jfif": encoded("JPEG"),
    "b.JPE": encoded("JPEG"),
    "c.avif": encoded("AVIF"),
    "d.Tif": encoded("TIFF"),
    "e.pgm": encoded("PPM", "L"),
    "f.pbm": encoded("PPM", "1"),
    "g.pnm": encoded("PPM"),
    "h.apng": encoded("PNG"),
    "i.dib": encoded("BMP"),
    "j.mpo": encoded("JPEG"),
    "no suffix": encoded("WEBP"),
    "really a jpeg.heic": encoded("JPEG"),
}
UNREAD = {
    "k.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC is not read; convert it to one of PNG"),
    "l.HEIF": (b"", "HEIF is not read; convert it"),
    "m.dng": (RAW, "a camera's raw file is not read; convert it"),
    "n.CR2": (b"II*\0\x10\0\0\0CR", "a camera's raw file is not read"),
    "o.nef": (RAW, "a camera's raw file is not read"),
    "p.arw": (RAW, "a camera's raw file is not read"),
    "q.jp2": (b"", "JPEG 2000 is not read"),
    "r.jxl": (b"", "JPEG XL is not read"),
    "s.exr": (b"", "OpenEXR is not read"),
    "t.psd": (b"8BPS", "Photoshop is not read"),
    "u.svg": (b"<svg></svg>", "SVG is not read"),
    "v.tga": (encoded("TGA"), "Targa is not read"),
    "w.hdr": (b"#?RADIANCE\n", "Radiance HDR is not read"),
    "x.ico": (encoded("ICO"), "an icon is not read"),
    "y.png.bak": (
        encoded("PNG"),
        "PNG by its content, but '.bak' is no suffix of a picture; rename",
    ),
    "no suffix either": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC is not read"),
}
OTHERS = {
    "notes.txt": b"words",
    "a.json": b"{}",
    "b.json": b"{}",
    "side.xmp": b"<x/>",
    "Thumbs.db": b"\xd0\xcf",
    "README": b"words",
    "sheet.pdf": b"%PDF",
    "what.xyz": b"words",
}
COUNTED = (
    "8 other files",
    ("no picture by the suffix: 2 .json, 1 without one, 1 .db, 1 .pdf, 1 .txt, 1 .xmp, 1 .xyz"),
)
FILES = {**READ, **{name: content for name, (content, _) in UNREAD.items()}, **OTHERS}


def _folder(workspace: Path, files: Mapping[str, bytes]) -> str:
    for name, content in files.items():
        path = workspace / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return "in"


def _packed(kind: str) -> Callable[[Path, Mapping[str, bytes]], str]:
    def pack(workspace: Path, files: Mapping[str, bytes]) -> str:
        KINDS[kind](workspace / f"set{kind}", files.items())
        return f"set{kind}"

    return pack


SOURCES = {"folder": _folder, **{kind: _packed(kind) for kind in KINDS}}


def _complete(found: Listing) -> None:
    assert {one.name: one.refusal for one in found.files} == dict.fromkeys(READ, "")
    reasons = {one.name: one.reason for one in found.set_aside}
    assert reasons.keys() == UNREAD.keys()
    for name, (_, reason) in UNREAD.items():
        assert reason in reasons[name]
    assert [(row.name, row.reason) for row in found.counted] == [COUNTED]
    with Fetcher() as fetcher:
        for entry in found.files:
            blob = fetcher.fetch(entry)
            assert isinstance(blob, Blob)
            assert decode(blob, ANY).shape == PIXELS.shape


@pytest.mark.parametrize("kind", SOURCES)
def test_every_file_is_read_or_reported_or_counted(workspace: Path, kind: str) -> None:
    _complete(entries(SOURCES[kind](workspace, FILES)))


def test_the_same_of_a_bucket(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    store, root = open_filesystem("s3://drdd/suffixes")
    store.pipe({f"{root}/{name}": content for name, content in FILES.items()})
    _complete(entries("s3://drdd/suffixes"))


def test_what_include_leaves_out_is_not_reported(workspace: Path) -> None:
    source = _folder(workspace, {"a/1.png": b"", "a/2.heic": b"", "b/3.heic": b"", "b/n.txt": b""})
    found = entries(source, include="^a/")
    assert [row.name for row in found.set_aside] == ["a/2.heic"]
    assert not found.counted


def test_a_source_without_a_picture_that_is_read_says_what_it_has(workspace: Path) -> None:
    source = _folder(workspace, {"1.heic": b"", "notes.txt": b""})
    with pytest.raises(
        UserError, match=r"holds no image file .*; it has 1\.heic: HEIC is not read"
    ):
        entries(source)


def test_raw_files_beside_their_jpegs_disturb_no_pair(workspace: Path) -> None:
    _folder(workspace, {"old/1.png": b"", "old/1.dng": RAW, "old/2.heic": b"", "old/n.txt": b""})
    _folder(workspace, {"new/1.png": b"", "new/2.png": b""})
    matching = match(Paired(input="in/old", target="in/new"), "album")
    assert [(pair.input.name, pair.target.name) for pair in matching.pairs] == [("1.png", "1.png")]
    alone = {one.name: one.reason for one in matching.alone}
    assert alone.keys() == {"1.dng", "2.heic", "2.png"}
    assert "HEIC is not read" in alone["2.heic"]
    assert [row.name for row in matching.counted] == ["1 other file"]


@pytest.mark.parametrize("tags", [{254: 1}, {50706: b"\1\4\0\0"}])
def test_a_raw_photograph_by_another_name_is_no_thumbnail(tags: dict[int, object]) -> None:
    with pytest.raises(PictureError, match="a camera's raw file"):
        decode(Blob("x.tif", encoded("TIFF", tiffinfo=tags)), ANY)


def test_every_suffix_of_a_format_that_is_decoded_is_read() -> None:
    Image.init()
    suffixes = {
        suffix for suffix, format_ in Image.registered_extensions().items() if format_ in FORMATS
    }
    assert suffixes
    assert suffixes <= suffixes_module.READ
