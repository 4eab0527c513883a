"""Objects in a folder or below an S3 prefix, by one small set of operations.

An object appears whole or not at all: S3 promises that for each PUT, a folder by renaming.
"""

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem

from drdd.errors import UserError
from drdd.files import atomic_path, write_bytes
from drdd.storage import explained, open_filesystem

CHUNK = 4 * 1024**2
# After this an endpoint is taken for dead. botocore's own timeouts do not bound a PUT, which waits
# for "100 Continue" for ever.
PATIENCE_S = 20
SLOWEST = 256 * 1024  # bytes/s, of a transfer
# A disk that is filled to the last byte stops everything else on the machine too.
SPARE = 1.1
FULL = (errno.ENOSPC, errno.EDQUOT)


class Store:
    """Objects below `uri`, named by relative paths such as "versions/0a1b/config.json".

    Every method raises UserError when the store refuses, TransientError when it does not answer.
    """

    def __init__(self, uri: str) -> None:
        if "://" in uri and not re.fullmatch(r"s3://[\w.-]+(/.*)?", uri):
            raise UserError(f"{uri}: a store is s3://bucket/prefix or a folder")
        self.uri = uri.rstrip("/")
        self._fs, self._root = open_filesystem(self.uri)
        self._local = isinstance(self._fs, LocalFileSystem)
        if not self._local:
            self._knock()

    def _knock(self) -> None:
        """Ask the bucket one thing, so that whatever is missing later is an object, not a bucket."""
        bucket, _, prefix = self._root.partition("/")
        question = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": 1}
        with explained(self.uri):
            self._fs.call_s3("list_objects_v2", **question, timeout=PATIENCE_S)

    def put(self, name: str, content: bytes | Path) -> None:
        """Raises UserError also when a folder's disk has no room for it; all is then as it was."""
        path = self._path(name)
        with explained(self.uri):
            size = content.stat().st_size if isinstance(content, Path) else len(content)
            if self._local:
                with self._room(size):
                    _write(Path(path), content)
            elif isinstance(content, Path):
                self._fs.put_file(str(content), path, **self._patience(size))
            else:
                self._fs.pipe_file(path, content, **self._patience(size))

    def get(self, name: str, size: int = 0) -> bytes | None:
        """None when there is no such object. size: if large, as far as known; it is waited for longer."""
        with explained(self.uri):
            try:
                content: bytes = self._fs.cat_file(self._path(name), **self._patience(size))
                return content
            except FileNotFoundError:
                return None

    def fetch(self, name: str, path: Path) -> None:
        """Download to a local file. Raises UserError when there is no such object."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with explained(self.uri):
            try:
                self._fs.get_file(self._path(name), str(path))
            except FileNotFoundError:
                raise UserError(f"{self.uri}/{name} is missing") from None

    def sha256(self, name: str) -> str | None:
        """Of the bytes as the store gives them back; None when there is no such object."""
        with explained(self.uri):
            try:
                with self._fs.open(self._path(name), "rb") as file:
                    digest = sha256()
                    while chunk := file.read(CHUNK):
                        digest.update(chunk)
                    return digest.hexdigest()
            except FileNotFoundError:
                return None

    def names(self, prefix: str, unfinished: bool = False) -> list[str]:
        """All objects below `prefix`, sorted; "" for all that there are.

        unfinished: also what a killed writer left of an object in a folder, as ".<object>.<any>.tmp".
        """
        above = self._path(prefix)
        with explained(self.uri):
            self._fs.invalidate_cache()
            try:
                found = self._fs.find(above, **self._patience())
            except FileNotFoundError:
                return []
        start = len(self._root) + 1
        # Some S3 servers answer with a folder's own name when nothing is left in it.
        names = (str(path)[start:] for path in found if str(path).startswith(f"{above}/"))
        return sorted(n for n in names if unfinished or not Path(n).name.startswith("."))

    def delete(self, name: str) -> None:
        """What is not there is no error. A folder that is left empty goes, as a prefix of S3 does."""
        path = self._path(name)
        with explained(self.uri), suppress(FileNotFoundError):
            self._fs.rm_file(path, **self._patience())
            if self._local:
                with suppress(OSError):
                    Path(path).parent.rmdir()

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _patience(self, size: int = 0) -> dict[str, int]:
        return {} if self._local else {"timeout": PATIENCE_S + size // SLOWEST}

    @contextmanager
    def _room(self, size: int) -> Iterator[None]:
        """UserError when the disk of the folder has no room for `size` bytes, or finds so on the way."""
        if self._free() < size * SPARE:
            raise self._full(size)
        try:
            yield
        except OSError as error:
            if error.errno in FULL:
                raise self._full(size) from error
            raise

    def _full(self, size: int) -> UserError:
        needed, free = _mib(size * SPARE), _mib(self._free())
        return UserError(
            f"{self.uri}: its disk is full: {needed} needed, {free} free; make room there"
        )

    def _free(self) -> int:
        """Bytes on the disk of the folder, which may be still to be made."""
        folder = Path(self._root)
        return shutil.disk_usage(next(f for f in (folder, *folder.parents) if f.exists())).free


def _write(path: Path, content: bytes | Path) -> None:
    if isinstance(content, bytes):
        write_bytes(path, content)
    else:
        with atomic_path(path) as temporary:
            shutil.copyfile(content, temporary)


def _mib(size: float) -> str:
    return f"{size / 1024**2:,.1f} MiB"
