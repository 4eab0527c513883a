"""Pictures that are meant to do harm: each is set aside with its reason, and the next one is read."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drdd.errors import UserError
from drdd.formats.carried import Keeping
from drdd.intake.decoding import Limits, decode, decode_and_verify, read_picture
from drdd.intake.streaming import OUTCOME, decoded_files
from drdd.pictures.opening import FORMATS, MAX_PROFILE, PictureError, decoding
from drdd.serving.problems import ProblemError
from drdd.serving.reading import header_of, source_of
from drdd.sources.entry import Blob
from drdd.sources.listing import entries
from tests.conftest import ROOT
from tests.corpora import encoded, scene

LIMITS = Limits(8, 64, 10_000)
PICTURE = Image.fromarray(scene(0, 48, 64))
EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 48 48\n%%EndComments\n"
    b"newpath 0 0 moveto 48 48 lineto stroke\nshowpage\n%%EOF\n"
)


@pytest.fixture
def ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mark that a `gs` on the PATH leaves when it is started."""
    mark, command = tmp_path / "started", tmp_path / "bin/gs"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\ntouch '{mark}'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    return mark


def test_no_file_starts_ghostscript(ghostscript: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.eps", "c.jpg"):
        (tmp_path / name).write_bytes(EPS)
        for reader in (decode, decode_and_verify):
            with pytest.raises(
                PictureError,
                match=r"no image: EPS or PostScript is not read; convert it to one of PNG, ",
            ):
                reader(Blob(name, EPS), LIMITS)
        with pytest.raises(UserError, match="EPS"):
            read_picture(tmp_path / name)
    with pytest.raises(ProblemError, match=r"the body cannot be used: .* EPS .* PNG, JPEG, WEBP"):
        header_of(EPS, 10**6)
    assert not ghostscript.exists()
    Image.init()  # the attack itself works where Pillow may choose the decoder
    with suppress(OSError):
        Image.open(io.BytesIO(EPS)).load()
    assert ghostscript.exists()


WATCHED = """
import io, sys
from drdd.intake.decoding import Limits, decode
from drdd.sources.entry import Blob
files = {name: open(name, "rb").read() for name in sys.argv[1:]}
for content in files.values():
    decode(Blob("x", content), Limits(1, 10**6, 10**9))  # imports what it needs
harm = "subprocess", "os.exec", "os.fork", "os.posix_spawn", "os.system", "socket", "open"
def watch(event, arguments):
    if event.startswith(harm):
        print(event, arguments, file=sys.stderr)
sys.addaudithook(watch)
for content in files.values():
    decode(Blob("x", content), Limits(1, 10**6, 10**9))
"""


def test_no_decoder_that_is_allowed_starts_a_process_or_opens_a_file(tmp_path: Path) -> None:
    names = []
    for format_ in (*FORMATS, "MPO"):
        path = tmp_path / f"x.{format_}"
        PICTURE.save(path, format_)
        names.append(str(path))
    command = [sys.executable, "-c", WATCHED, *names]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


REFUSED = ("ICO", "TGA", "PCX", "DDS", "SGI", "ICNS", "PDF", "EPS", "XBM", "JPEG2000")


@pytest.mark.parametrize("format_", REFUSED)
def test_any_other_format_is_refused_whatever_its_name_is(format_: str) -> None:
    image = PICTURE.convert("1") if format_ == "XBM" else PICTURE
    with pytest.raises(PictureError, match=r"no image: .* PNG, JPEG, WEBP, TIFF, BMP, GIF"):
        decode(Blob("x.png", encoded(image, format_)), LIMITS)


def _damaged() -> Iterator[bytes]:
    """AVIF files of which Pillow's decoder says RuntimeError, ValueError, OSError or nothing."""
    whole = encoded(PICTURE, "AVIF")
    rng = np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(whole)
        for place in rng.integers(4, len(content), 8):
            content[place] ^= int(rng.integers(1, 256))
        yield bytes(content)
    for end in range(40, len(whole), 25):
        yield whole[:end]


def test_a_damaged_avif_ends_no_ingest(tmp_path: Path) -> None:
    for number, content in enumerate(_damaged()):
        (tmp_path / f"{number:03}.png").write_bytes(content)
    (tmp_path / "zzz.png").write_bytes(encoded(PICTURE, "PNG"))
    tables = list(decoded_files(entries(str(tmp_path)).files, LIMITS, by_ray=False))
    rows = [row for table in tables for row in table.to_pylist()]
    assert all(table.schema == OUTCOME for table in tables)
    assert len(rows) == len(list(tmp_path.iterdir()))
    assert rows[-1]["reason"] is None
    assert sum(row["reason"] is not None for row in rows) > 10


@pytest.mark.parametrize(
    "error",
    [
        *(RuntimeError("x"), RecursionError(), MemoryError(), SyntaxError("x"), AssertionError()),
        *(
            ZeroDivisionError(),
            KeyError(1),
            UnicodeError(),
            OSError(5, "x"),
            Image.DecompressionBombError(),
        ),
        *(Image.DecompressionBombWarning("x"), StopIteration(), TypeError("two\nlines")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_decoder_raises_is_a_reason(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(image: Image.Image) -> None:
        raise error

    content = encoded(PICTURE, "PNG")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    for reader in (decode, decode_and_verify):
        with pytest.raises(PictureError) as raised:
            reader(Blob("x.png", content), LIMITS)
        assert str(raised.value)
        assert "\n" not in str(raised.value)
    with pytest.raises(ProblemError) as refused:
        source_of(header_of(content, 10**6), Keeping(), "PNG")
    assert refused.value.status == 422


def test_an_interrupt_is_no_reason() -> None:
    with pytest.raises(KeyboardInterrupt), decoding():
        raise KeyboardInterrupt


PROFILES = """
import sys
from PIL import Image, ImageCms
import io
from drdd.intake.decoding import Limits, decode
from drdd.sources.entry import Blob
whole = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
picture, limits = Image.new("RGB", (16, 16)), Limits(1, 100, 10**6)
def size():  # MiB at most so far; unlike ru_maxrss, not that of the process which started this one
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) // 1024
def request(number):
    buffer = io.BytesIO()
    padded = whole + bytes([number]) * (int(sys.argv[1]) - len(whole))
    picture.save(buffer, "TIFF", icc_profile=padded)
    try:
        decode(Blob("x", buffer.getvalue()), limits)
    except ValueError as error:
        print(error)
for number in range(2):
    request(number)
before = size()
for number in range(2, int(sys.argv[2])):
    request(number)
print("grown by", size() - before, "MiB")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("size", "count"), [(MAX_PROFILE - 1, 34), (4 * MAX_PROFILE, 18)])
def test_profiles_of_many_requests_are_not_kept(size: int, count: int) -> None:
    """Small pictures with large profiles: 256 MiB of them, or 16 with 512 MiB."""
    command = [sys.executable, "-c", PROFILES, str(size), str(count)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    grown = int(ran.stdout.split("grown by")[1].split()[0])
    assert grown < 100, ran.stdout
    refused = ran.stdout.count("its colour profile has more than 8 MiB; convert it to sRGB")
    assert refused == (count if size > MAX_PROFILE else 0)


def test_a_small_file_that_claims_a_huge_picture_is_refused_before_it_is_decoded() -> None:
    out = io.BytesIO()
    Image.new("1", (13_000, 13_000)).save(out, "TIFF", compression="group4")
    assert len(out.getvalue()) < 10_000
    with pytest.raises(PictureError, match="claims 13000 x 13000 pixels in"):
        decode(Blob("one.tif", out.getvalue()), Limits(1, 10**9, 10**9))
