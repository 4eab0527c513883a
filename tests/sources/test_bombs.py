"""Archives and tables of few bytes that stand for very many: refused before memory or disk is full."""

import gzip
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drdd.errors import UserError
from drdd.sources.entry import Blob, Fetcher, rows
from drdd.sources.listing import entries
from tests.conftest import ROOT

GIB, MIB = 1024**3, 1024**2


def _zeros(path: Path, size: int) -> None:
    """A gzip file of `size` zeros, made quickly: many times the same compressed part."""
    part = gzip.compress(bytes(64 * MIB), 9)
    path.write_bytes(part * (size // (64 * MIB)))


def _zip_of_zeros(path: Path) -> None:
    """A member of 1.5 GiB that looks like a picture."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("a.png", "w", force_zip64=True) as file:
            for _ in range(24):
                file.write(bytes(64 * MIB))
        archive.writestr("good.png", b"good")


def _zip_with_a_false_size(path: Path, method: int) -> None:
    """A member that claims 100 bytes and decompresses to 384 MiB."""
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.png", bytes(384 * MIB))
        archive.infolist()[0].file_size = 100


MEMORY = """
import sys
from drdd.errors import UserError
from drdd.sources.entry import Blob, Fetcher
from drdd.sources.listing import entries
def size():  # MiB at most so far; unlike ru_maxrss, not that of the process which started this one
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) // 1024
before = size()
try:
    with Fetcher() as fetcher:
        for entry in entries(sys.argv[1]).files:
            found = fetcher.fetch(entry)
            print(entry.name, found.content[:9] if isinstance(found, Blob) else found.reason)
except UserError as error:
    print("refused:", error)
print("grown by", size() - before, "MiB")
"""


def _fetched(folder: Path, name: str) -> str:
    """What a process says of the source; it takes little memory."""
    command = [sys.executable, "-c", MEMORY, str(folder / name)]
    ran = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout.split("grown by")[1].split()[0]) < 200, ran.stdout
    return ran.stdout


@pytest.mark.slow
def test_a_zip_that_stands_for_far_more_than_it_has_is_refused(tmp_path: Path) -> None:
    _zip_of_zeros(tmp_path / "a.zip")
    assert (tmp_path / "a.zip").stat().st_size < 8 * MIB
    assert "refused:" in (said := _fetched(tmp_path, "a.zip"))
    assert "stands for" in said


REASONS = {zipfile.ZIP_DEFLATED: "Bad CRC-32", zipfile.ZIP_BZIP2: "another method than deflate"}


@pytest.mark.parametrize("method", REASONS)
def test_a_member_that_claims_few_bytes_is_not_decompressed_beyond_them(
    tmp_path: Path, method: int
) -> None:
    _zip_with_a_false_size(tmp_path / "a.zip", method)
    assert REASONS[method] in _fetched(tmp_path, "a.zip")


def test_overlapping_members_count_each(tmp_path: Path) -> None:
    """Names that share one compressed part: no single member is suspicious."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(32 * MIB))
        (info,) = archive.infolist()
        for number in range(40):
            other = zipfile.ZipInfo(f"{number}.png")
            for name in ("header_offset", "compress_size", "file_size", "CRC", "compress_type"):
                setattr(other, name, getattr(info, name))
            archive.filelist.append(other)
    assert (tmp_path / "a.zip").stat().st_size < MIB
    assert "stands for" in _fetched(tmp_path, "a.zip")


@pytest.mark.slow
def test_a_compressed_tar_fills_neither_memory_nor_disk(tmp_path: Path) -> None:
    """Of a member that has 2 TiB as it says, and of zeros that follow each other for 3 GiB."""
    for name, size in {"claim": 2**41, "zeros": 3 * GIB}.items():
        head = tarfile.TarInfo("a.png")
        head.size = size
        zeros = tmp_path / "zeros.gz"
        _zeros(zeros, min(size, 3 * GIB))
        content = gzip.compress(head.tobuf(tarfile.GNU_FORMAT)) + zeros.read_bytes()
        (tmp_path / f"{name}.tar.gz").write_bytes(content)
        assert "stands for" in _fetched(tmp_path, f"{name}.tar.gz")
        scratch = tmp_path / ".drdd/scratch"
        assert not scratch.exists() or not list(scratch.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["tar", "tar.gz"])
def test_a_header_of_a_tar_is_bounded(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """A name, or an extended header, of 256 MiB would be read whole."""
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
        head = tarfile.TarInfo("x")
        head.type, head.size = kind, 256 * MIB
        content = head.tobuf(tarfile.GNU_FORMAT) + bytes(256 * MIB)
        name = "a.tar" if pack is bytes else "a.tar.gz"
        (tmp_path / name).write_bytes(pack(content))
        assert "a header of" in _fetched(tmp_path, name)


def test_what_pictures_and_masks_need_is_allowed(tmp_path: Path) -> None:
    """Uniform BMP files, which compress by a thousand, among pictures that do not."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"{number}.bmp", bytes(20 * MIB))
    with Fetcher() as fetcher:
        found = [fetcher.fetch(entry) for entry in entries(str(tmp_path / "a.zip")).files]
    assert all(isinstance(one, Blob) and len(one.content) == 20 * MIB for one in found)


def test_a_table_that_repeats_a_long_text_is_refused(tmp_path: Path) -> None:
    """A million times the same mebibyte: a file of a few kilobytes."""
    path = tmp_path / "a.parquet"
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 10**6, pa.int32()), ["x" * MIB])
    pq.write_table(pa.table({"image": texts}), path, compression="zstd")
    assert path.stat().st_size < MIB
    assert "is no path" in _fetched(tmp_path, "a.parquet")


def test_a_table_reads_as_before(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    names = ["a.png", None, " b.png ", "a.png"]
    for column in (
        pa.array(names),
        pa.array(names, pa.large_string()),
        pa.array(names).dictionary_encode(),
    ):
        pq.write_table(pa.table({"image": column}), path)
        found = [entry.name for (entry,) in rows(str(path), ("image",))]
        assert found == ["a.png", "row 2", "b.png", "a.png"]
    for other in (pa.array([1, 2]), pa.array([{"bytes": b"x"}]), pa.array([["a"]])):
        pq.write_table(pa.table({"image": other}), path)
        with pytest.raises(UserError, match="not paths as text"):
            rows(str(path), ("image",))
        with pytest.raises(UserError, match="no column 'input'"):
            rows(str(path), ("input",))
    pq.write_table(pa.table({"image": pa.array([], pa.string())}), path)
    assert rows(str(path), ("image",)) == []
