"""Where a registry lies: a folder or an S3 prefix, by one small set of operations.

An object appears whole or not at all: S3 promises that for each PUT, a folder by renaming.
"""

import re
import shutil
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
SLOWEST_UPLOAD = 256 * 1024  # bytes/s


class Store:
    """Objects below `uri`, named by relative paths such as "versions/0a1b/config.json".

    Every method raises UserError when the store refuses, TransientError when it does not answer.
    """

    def __init__(self, uri: str) -> None:
        if "://" in uri and not re.fullmatch(r"s3://[\w.-]+(/.*)?", uri):
            raise UserError(f"{uri}: a registry is s3://bucket/prefix or a folder")
        self.uri = uri.rstrip("/")
        self._fs, self._root = open_filesystem(self.uri)
        self._local = isinstance(self._fs, LocalFileSystem)
        self._patience = {} if self._local else {"timeout": PATIENCE_S}
        if not self._local:
            self._knock()

    def _knock(self) -> None:
        """Ask the bucket one thing, so that whatever is missing later is an object, not a bucket."""
        bucket, _, prefix = self._root.partition("/")
        question = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": 1}
        with explained(self.uri):
            self._fs.call_s3("list_objects_v2", **question, timeout=PATIENCE_S)

    def put(self, name: str, content: bytes | Path) -> None:
        path = self._path(name)
        with explained(self.uri):
            if self._local and isinstance(content, Path):
                with atomic_path(Path(path)) as temporary:
                    shutil.copyfile(content, temporary)
            elif self._local:
                assert isinstance(content, bytes)
                write_bytes(Path(path), content)
            elif isinstance(content, Path):
                patience = PATIENCE_S + content.stat().st_size // SLOWEST_UPLOAD
                self._fs.put_file(str(content), path, timeout=patience)
            else:
                patience = PATIENCE_S + len(content) // SLOWEST_UPLOAD
                self._fs.pipe_file(path, content, timeout=patience)

    def get(self, name: str) -> bytes | None:
        """None when there is no such object."""
        with explained(self.uri):
            try:
                content: bytes = self._fs.cat_file(self._path(name), **self._patience)
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

    def names(self, prefix: str) -> list[str]:
        """All objects below `prefix`, sorted."""
        with explained(self.uri):
            self._fs.invalidate_cache()
            try:
                found = self._fs.find(self._path(prefix), **self._patience)
            except FileNotFoundError:
                return []
        start = len(self._root) + 1
        names = (str(path)[start:] for path in found)
        return sorted(name for name in names if not Path(name).name.startswith("."))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"
