"""Targets of data: intake, archives, lists."""

import io
import tarfile
import zipfile
from functools import cache
from pathlib import Path

import pandas as pd
from PIL import Image

from drdd.errors import UserError
from drdd.intake.decoding import Limits, decode_and_verify
from drdd.sources.entry import Blob, Fetcher, Rejected
from drdd.sources.listing import entries
from tests.corpora import scene
from tests.fuzz.target import Attempt

SIDES = Limits(min_side=4, max_side=64, max_pixels=100_000)
FORMATS = (
    "PNG",
    "JPEG",
    "WEBP",
    "TIFF",
    "AVIF",
    "GIF",
    "BMP",
    "PPM",
    "JPEG2000",
    "ICO",
    "TGA",
    "EPS",
)


@cache
def pictures() -> list[bytes]:
    """A photograph of 24 x 16 pixels in each format that Pillow writes, with EXIF where it may have it."""
    image, made = Image.fromarray(scene(0, 16, 24)), []
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    for form in FORMATS:
        for mode in ("RGB", "L", "RGBA", "P"):
            out = io.BytesIO()
            try:
                image.convert(mode).save(out, form, exif=exif)
            except (OSError, ValueError, KeyError):
                continue  # a format has not every mode
            made.append(out.getvalue())
    return made


def intake(folder: Path) -> Attempt:
    def attempt(content: bytes) -> bool:
        try:
            decode_and_verify(Blob("one.png", content), SIDES)
        except ValueError:
            return False
        return True

    return attempt


def packed() -> list[bytes]:
    """Archives of every kind with two pictures: by their first byte the kind, as `archives` reads it."""
    made, content = [], pictures()[0]
    for kind, mode in enumerate(("w", "w:gz"), 1):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
            for name in ("a/one.png", "two.png"):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        made.append(bytes([kind]) + out.getvalue())
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            archive.writestr("a/one.png", content)
            archive.writestr("two.png", content)
        made.append(b"\0" + out.getvalue())
    return made


def archives(folder: Path) -> Attempt:
    """The first byte says what the file is called."""

    def attempt(content: bytes) -> bool:
        suffix = ("zip", "tar", "tar.gz")[content[0] % 3] if content else "tar"
        path = folder / f"one.{suffix}"
        path.write_bytes(content[1:])
        try:
            found = entries(str(path)).files
            with Fetcher(folder / "scratch") as fetcher:
                fetched = [fetcher.fetch(entry) for entry in found]
        except UserError:
            return False
        return not any(isinstance(one, Rejected) for one in fetched)

    return attempt


def listed() -> list[bytes]:
    table = io.BytesIO()
    pd.DataFrame({"image": ["one.png", "sub/two.png"], "x": [1, 2]}).to_parquet(table)
    texts = (b"one.png\n# a remark\nsub/two.png\n", b'image,x\none.png,1\n"sub/two.png",2\n')
    return [bytes([kind]) + text for kind, text in enumerate((*texts, table.getvalue()))]


def lists(folder: Path) -> Attempt:
    """The first byte says what the file is called."""
    (folder / "one.png").write_bytes(pictures()[0])

    def attempt(content: bytes) -> bool:
        path = folder / f"list.{('txt', 'csv', 'parquet')[content[0] % 3 if content else 0]}"
        path.write_bytes(content[1:])
        try:
            with Fetcher(folder / "scratch") as fetcher:
                return not any(
                    isinstance(fetcher.fetch(entry), Rejected) for entry in entries(str(path)).files
                )
        except UserError:
            return False
        finally:
            path.unlink()

    return attempt
