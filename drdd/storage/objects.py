"""A small set of operations on objects in a folder or below an S3 prefix.

Objects are written atomically: by a PUT on S3, by renaming in a folder. An object with several writers is
written only if it is unchanged since the writer read it: with If-Match and If-None-Match on S3, with a
lock in a folder.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from aiohttp import ClientPayloadError
from botocore.exceptions import ClientError, HTTPClientError
from fsspec.asyn import sync
from fsspec.implementations.local import LocalFileSystem

from drdd.errors import UserError
from drdd.files import atomic_path, delete, make_folder, write_bytes
from drdd.storage.filesystems import FULL, explained, open_filesystem

CHUNK = 4 * 1024**2
SMALL = 4 * 1024**2  # bytes of an object that is read whole before anything of it is known
# After this time an endpoint counts as dead. The timeouts of botocore do not bound a PUT, which waits
# for "100 Continue" forever.
PATIENCE_S = 20
SLOWEST = 256 * 1024  # bytes/s, the slowest transfer that is waited for
# Free space to leave, because a full disk stops everything else on the machine.
SPARE = 1.1
PROBE = ".conditions"  # an object to test whether a bucket's server supports conditional writes
STALE = '"00000000000000000000000000000000"'  # no object's ETag


class ChangedError(UserError):
    """An object has changed since it was read: another writer wrote it."""


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
        self._heeds = self._local  # whether conditional writes are supported
        if not self._local:
            self._knock()

    def _knock(self) -> None:
        """Access the bucket once: if it exists, a later "not found" means a missing object."""
        bucket, _, prefix = self._root.partition("/")
        question = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": 1}
        with explained(self.uri):
            self._fs.call_s3("list_objects_v2", **question, timeout=PATIENCE_S)

    def put(self, name: str, content: bytes | Path) -> None:
        """Write an object. Raises UserError also when the disk is full; nothing has changed then."""
        path = self._path(name)
        with explained(self.uri):
            size = content.stat().st_size if isinstance(content, Path) else len(content)
            if self._local:
                with self._ensure_space(size):
                    _write(Path(path), content)
            elif isinstance(content, Path):
                self._fs.put_file(str(content), path, **self._patience(size))
            else:
                self._fs.pipe_file(path, content, **self._patience(size))

    def get(self, name: str, size: int = 0) -> bytes | None:
        """Read an object, or None when it does not exist. size: in bytes if known, to set the timeout."""
        with explained(self.uri):
            try:
                self._demand_regular(name)
                content: bytes = self._fs.cat_file(self._path(name), **self._patience(size))
                return content
            except FileNotFoundError:
                return None

    def tagged(self, name: str) -> tuple[bytes, str] | None:
        """A small object and the tag of its present state; None when it does not exist.

        Raises UserError when it has more than SMALL bytes: it is not read then.
        """
        with explained(self.uri):
            try:
                if not self._local:
                    return sync(self._fs.loop, self._get_object, name, timeout=PATIENCE_S)
                self._demand_regular(name)
                with Path(self._path(name)).open("rb") as file:
                    self._demand_small(name, os.fstat(file.fileno()).st_size)
                    content = file.read(SMALL)
                return content, sha256(content).hexdigest()
            except FileNotFoundError:
                return None

    def put_if(self, name: str, content: bytes, tag: str | None) -> None:
        """Write a small object if it still has the `tag` of `tagged`; tag None: if it does not exist.

        Raises ChangedError when it has changed, and UserError when the server does not support conditional
        writes. `content` must differ from what any other writer may write at the same time: this shows
        whether a write succeeded whose answer was lost and which is sent again.
        """
        if self._local:
            path = Path(self._path(name))
            with explained(self.uri), self._ensure_space(len(content)), _locked(path):
                now = self.tagged(name)
                if (now[1] if now else None) != tag:
                    raise ChangedError(f"{self.uri}/{name} was changed by someone else")
                write_bytes(path, content)
            return
        self._demand_conditions()
        if not self._put_object(name, content, tag):
            now = self.tagged(name)
            if now is None or now[0] != content:
                raise ChangedError(f"{self.uri}/{name} was changed by someone else")

    def modified(self, name: str) -> datetime | None:
        """The time of the last write, UTC; None when the object does not exist."""
        with explained(self.uri):
            try:
                if self._local:
                    return datetime.fromtimestamp(Path(self._path(name)).stat().st_mtime, UTC)
                self._fs.invalidate_cache()
                when: datetime = self._fs.info(self._path(name), **self._patience())["LastModified"]
                return when.astimezone(UTC)
            except FileNotFoundError:
                return None

    def fetch(self, name: str, path: Path, size: int | None = None) -> None:
        """Download to a local file. Raises UserError when the object does not exist.

        size: how many bytes it must have, or it is not read.
        """
        if size is not None and (now := self.size(name)) not in (size, None):
            raise UserError(f"{self.uri}/{name} has {now:,} bytes, and must have {size:,}")
        path.parent.mkdir(parents=True, exist_ok=True)
        with explained(self.uri):
            try:
                self._demand_regular(name)
                self._fs.get_file(self._path(name), str(path))
            except FileNotFoundError:
                raise UserError(f"{self.uri}/{name} is missing") from None

    def sha256(self, name: str) -> str | None:
        """The SHA-256 of the bytes as read from the store; None when the object does not exist."""
        with explained(self.uri):
            try:
                self._demand_regular(name)
                with self._fs.open(self._path(name), "rb") as file:
                    digest = sha256()
                    while chunk := file.read(CHUNK):
                        digest.update(chunk)
                    return digest.hexdigest()
            except FileNotFoundError:
                return None

    def names(self, prefix: str, unfinished: bool = False) -> list[str]:
        """The names of all objects below `prefix`, sorted; "" for all objects.

        unfinished: also temporary files of killed writers in a folder, ".<object>.<any>.tmp".
        """
        above = self._path(prefix)
        with explained(self.uri):
            self._fs.invalidate_cache()
            try:
                found = self._fs.find(above, **self._patience())
            except FileNotFoundError:
                return []
        start = len(self._root) + 1
        # Some S3 servers list the name of an empty folder itself.
        names = (str(path)[start:] for path in found if str(path).startswith(f"{above}/"))
        return sorted(n for n in names if unfinished or not Path(n).name.startswith("."))

    def delete(self, name: str) -> None:
        """Delete an object, if it exists. Empty folders are removed, since S3 has no empty prefixes."""
        path = self._path(name)
        with explained(self.uri), suppress(FileNotFoundError):
            if not self._local:
                self._fs.rm_file(path, **self._patience())
                return
            delete(Path(path))  # for good: what follows may rely on it, as cleaning does
            with suppress(OSError):
                Path(path).parent.rmdir()

    async def _get_object(self, name: str) -> tuple[bytes, str]:
        """Read an object and its tag, with a check for truncated answers, which s3fs does not detect."""
        try:
            return await self._read_object(name)
        except (HTTPClientError, ClientPayloadError):
            return await self._read_object(name)

    async def _read_object(self, name: str) -> tuple[bytes, str]:
        answer = await self._fs._call_s3("get_object", **self._address(name))
        self._demand_small(name, answer["ContentLength"])
        async with answer["Body"] as body:
            return await body.read(), answer["ETag"]

    def size(self, name: str) -> int | None:
        """In bytes; None when the object does not exist."""
        with explained(self.uri), suppress(FileNotFoundError):
            self._demand_regular(name)
            self._fs.invalidate_cache()
            return int(self._fs.info(self._path(name), **self._patience())["size"])
        return None

    def _demand_regular(self, name: str) -> None:
        """In a folder, a pipe would be waited for, and a device read for ever."""
        path = Path(self._path(name))
        if self._local and path.exists() and not path.is_file():
            raise UserError(f"{self.uri}/{name} is no file; remove it")

    def _demand_small(self, name: str, size: int) -> None:
        if size > SMALL:
            raise UserError(
                f"{self.uri}/{name} has {size:,} bytes, more than the {SMALL:,} it may have"
            )

    def _put_object(self, name: str, content: bytes, tag: str | None) -> bool:
        """A conditional PUT on S3. False when the condition did not hold."""
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        call = {**self._address(name), "Body": content, **condition}
        with explained(self.uri):
            try:
                self._fs.call_s3("put_object", **call, timeout=PATIENCE_S)
            except OSError as error:
                if _is_unmet(error):
                    return False
                raise
        return True

    def _demand_conditions(self) -> None:
        """Raise UserError for a server that ignores conditions: two writers would both succeed."""
        if self._heeds:
            return
        self._put_object(PROBE, b"", None)
        if self._put_object(PROBE, b"", None) or self._put_object(PROBE, b"", STALE):
            raise UserError(
                f"{self.uri}: its server ignores If-None-Match or If-Match, so that two writers could "
                "overwrite each other; use a newer server (docs/registry.md names some)"
            )
        self._heeds = True

    def _address(self, name: str) -> dict[str, str]:
        bucket, _, key = self._path(name).partition("/")
        return {"Bucket": bucket, "Key": key}

    def _path(self, name: str) -> str:
        """Of an object. Raises UserError for a name that climbs: on S3 an HTTP client would follow it."""
        if name.startswith("/") or {".", ".."} & set(name.split("/")):
            raise UserError(
                f"{self.uri}: {name!r} is no name of an object in it; write it without '..'"
            )
        return f"{self._root}/{name}" if name else self._root

    def _patience(self, size: int = 0) -> dict[str, int]:
        return {} if self._local else {"timeout": PATIENCE_S + size // SLOWEST}

    @contextmanager
    def _ensure_space(self, size: int) -> Iterator[None]:
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
        needed, free = size * SPARE / 1024**2, self._free() / 1024**2
        said = f"{needed:,.1f} MiB needed, {free:,.1f} MiB free"
        return UserError(f"{self.uri}: its disk is full: {said}; make room there")

    def _free(self) -> int:
        """Free bytes on the disk of the folder, which may not exist yet."""
        folder = Path(self._root)
        return shutil.disk_usage(next(f for f in (folder, *folder.parents) if f.exists())).free


def _write(path: Path, content: bytes | Path) -> None:
    if isinstance(content, bytes):
        write_bytes(path, content)
    else:
        with atomic_path(path) as temporary:
            shutil.copyfile(content, temporary)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock `path` for one writer on this machine, or on all machines if the file system supports it."""
    make_folder(path.parent)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_unmet(error: BaseException) -> bool:
    """Whether the error means that the condition of a write did not hold.

    412; 409 when another write is in progress; 404 for If-Match of a deleted object.
    """
    cause = error.__cause__
    if not isinstance(cause, ClientError):
        return False
    answer: dict[str, Any] = dict(cause.response)
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status in (409, 412) or answer.get("Error", {}).get("Code") == "NoSuchKey"
