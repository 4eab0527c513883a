"""Random access to the files in zip and tar archives; nothing is unpacked to paths named by the archive.

A zip is read by its directory. A tar has none, so one pass over its headers finds the position and length
of each member, with which any process can read it later. A compressed tar does not allow seeking: it is
listed as a stream in one pass and, before members are read, decompressed once per machine into a shared
scratch file.
"""

import errno
import fcntl
import gzip
import lzma
import os
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol, cast

from drdd.errors import UserError
from drdd.files import atomic_path
from drdd.first_bytes import HEAD
from drdd.sources.bounds import BoundedStream, allowed, refuse_if_bomb, refuse_if_too_large

CHUNK = 4 * 1024**2
COMPRESSED = (".tar.gz", ".tgz")
# The other methods decompress a few bytes to any number of them at once.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1  # a flag of a member of a zip
SUFFIXES = (".zip", ".tar", *COMPRESSED)
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EEXIST}
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    RuntimeError,  # also raised by zipfile for encrypted members and unknown compression
)


@dataclass(frozen=True)
class Member:
    """A file in an archive; picklable.

    path: as in the archive; start, size: position and length of its content in the decompressed tar
    (start is 0 in a zip); refusal: the reason not to read it, if not empty.
    """

    path: str
    start: int
    size: int
    refusal: str = ""

    @property
    def name(self) -> str:
        """The path with "/" between its parts and without "." parts, for any packing software."""
        return str(PurePosixPath(self.path.replace("\\", "/")))


class Archive(Protocol):
    def members(self, is_unsure: Callable[[str], bool]) -> Iterator[tuple[Member, bytes]]:
        """All files. Of several with one name the last counts, as in unpacking. Raises one of DAMAGE.

        With each that `is_unsure` of its name, its first bytes; else, or if it cannot be read, none.
        """

    def read(self, member: Member) -> bytes:
        """Raises ValueError with a reason when this member is damaged, encrypted or too large."""


class Zip:
    def __init__(self, file: BinaryIO) -> None:
        """Raises one of DAMAGE when the directory cannot be read."""
        self._zip = zipfile.ZipFile(file)
        refuse_if_bomb(sum(info.file_size for info in self._zip.infolist()), file)

    def members(self, is_unsure: Callable[[str], bool]) -> Iterator[tuple[Member, bytes]]:
        last = {info.filename: info for info in self._zip.infolist() if not info.is_dir()}
        for path, info in last.items():
            member = Member(path, 0, info.file_size, _refusal(path) or _unreadable(info))
            yield member, self._head(info) if is_unsure(member.name) else b""

    def _head(self, info: zipfile.ZipInfo) -> bytes:
        with suppress(*DAMAGE, ValueError, OSError):
            if info.compress_type in METHODS:
                with self._zip.open(info) as file:
                    return file.read(HEAD)
        return b""

    def read(self, member: Member) -> bytes:
        try:
            info = self._zip.getinfo(member.path)
            if reason := _unreadable(info):
                raise ValueError(reason)
            with self._zip.open(
                info
            ) as file:  # ZipFile.read may decompress more than the size claims
                return file.read(info.file_size)
        except (*DAMAGE, ValueError) as error:
            raise ValueError(f"{member.path} in the archive: {error}") from None


class Tar:
    """A tar: an uncompressed file, or a stream, which can only be listed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def members(self, is_unsure: Callable[[str], bool]) -> Iterator[tuple[Member, bytes]]:
        found: dict[str, tuple[Member, bytes]] = {}
        headers = cast(BinaryIO, BoundedStream(self._file))
        with tarfile.open(fileobj=headers, mode="r:") as tar:
            offset = -1
            while (info := tar.next()) is not None:
                if info.offset <= offset or info.size < 0:
                    raise tarfile.ReadError("a header points backwards")
                offset = info.offset
                tar.members.clear()  # type: ignore[attr-defined] # it would keep the header of every member
                if not info.isdir():
                    member = _member_of_tar(info, found)
                    # The stream is just behind the header, and only goes forward.
                    unsure = info.isreg() and not info.issparse() and is_unsure(member.name)
                    head = self._file.read(min(HEAD, info.size)) if unsure else b""
                    found[info.name] = member, head
            # tarfile treats an unreadable header as the end, which would lose the rest.
            self._file.seek(tar.offset)
            if self._file.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise tarfile.ReadError(f"no header at byte {tar.offset}")
        yield from found.values()

    def read(self, member: Member) -> bytes:
        refuse_if_too_large(member.size)
        self._file.seek(member.start)
        content = self._file.read(member.size)
        if len(content) < member.size:
            raise ValueError(f"{member.path} in the archive is cut short")
        return content


def is_archive(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def is_compressed(name: str) -> bool:
    """Whether members can only be read from a decompressed copy."""
    return name.lower().endswith(COMPRESSED)


def archive(name: str, file: BinaryIO) -> Archive:
    """Open an archive of the kind of its name; a compressed tar can only be listed.

    Raises one of DAMAGE.
    """
    if is_compressed(name):
        return Tar(gunzipped(file))
    return Zip(file) if name.lower().endswith(".zip") else Tar(file)


def gunzipped(file: BinaryIO) -> BinaryIO:
    """The decompressed stream, which ends with ValueError when it is far larger than its file."""
    stream = cast(BinaryIO, gzip.GzipFile(fileobj=file))
    return cast(BinaryIO, BoundedStream(stream, allowed(file)))


@contextmanager
def in_words(name: str) -> Iterator[None]:
    """Raise UserError when the archive as a whole cannot be read."""
    try:
        yield
    except (*DAMAGE, ValueError) as error:
        raise UserError(
            f"{name}: a damaged archive, or none of this kind ({error}); pack it anew"
        ) from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # a position before the beginning of the file
            raise UserError(f"{name}: a damaged archive ({error}); pack it anew") from error
        raise


@contextmanager
def shared_copy(
    identity: str, write: Callable[[BinaryIO], None], scratch: Path
) -> Iterator[BinaryIO]:
    """A scratch file with the content of `write`, shared by all processes of this machine.

    identity: identifies the content, such as by origin, size and time of change. The first process writes
    while others wait; the last one to leave deletes the file; leftovers of killed processes are deleted
    by the next. Raises UserError when the file cannot be written.
    """
    path = scratch / f"{sha256(identity.encode('utf-8', 'surrogateescape')).hexdigest()}.tmp"
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with _locked(scratch):
            for other in set(scratch.glob("*.tmp")) - {path}:
                _delete_unless_used(other)
            file = _opened_or_written(path, write)
            fcntl.flock(file, fcntl.LOCK_SH)
    except OSError as error:
        if error.errno in NO_ROOM:
            reason = f"no room to decompress an archive ({error.strerror})"
            raise UserError(f"{scratch}: {reason}; make room there") from error
        raise
    try:
        yield file
    finally:
        file.close()
        _delete_unless_used(path)


def _delete_unless_used(path: Path) -> None:
    with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _opened_or_written(path: Path, write: Callable[[BinaryIO], None]) -> BinaryIO:
    """Open or write the file. It is not reopened after writing, since another process may delete it."""
    with suppress(FileNotFoundError):
        return path.open("rb")
    with atomic_path(path) as temporary:
        file = temporary.open("w+b")
        try:
            write(file)
            file.flush()
        except BaseException:
            file.close()
            raise
    return file


def decompress(file: BinaryIO, target: BinaryIO) -> None:
    """The bytes of a gzip file. Raises one of DAMAGE, or ValueError for a bomb."""
    shutil.copyfileobj(gunzipped(file), target, CHUNK)


def _member_of_tar(info: tarfile.TarInfo, earlier: dict[str, tuple[Member, bytes]]) -> Member:
    refusal = _refusal(info.name)
    if info.islnk() and info.linkname in earlier:  # a hard link to an earlier member
        first, _ = earlier[info.linkname]
        return Member(info.name, first.start, first.size, refusal or first.refusal)
    if not info.isreg() or info.issparse():
        refusal = (
            refusal or "a link, a device or a sparse file in the archive; pack the file itself"
        )
    return Member(info.name, info.offset_data, info.size, refusal)


def _unreadable(info: zipfile.ZipInfo) -> str:
    """Why a member of a zip is not read, as its directory says."""
    if info.flag_bits & ENCRYPTED:
        return "encrypted; pack it without a password"
    if info.compress_type not in METHODS:
        return "compressed by another method than deflate; pack it anew"
    try:
        refuse_if_too_large(info.file_size, info.compress_size)
    except ValueError as error:
        return str(error)
    return ""


def _refusal(path: str) -> str:
    spelled = path.replace("\\", "/")
    if spelled.startswith("/") or ".." in spelled.split("/"):
        return (
            "its path in the archive is absolute or climbs with '..'; pack it with a relative path"
        )
    return ""
