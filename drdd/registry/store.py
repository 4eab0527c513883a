"""Where a registry lies: a folder or an S3 prefix, by one small set of operations.

An object appears whole or not at all: S3 promises that for each PUT, a folder by renaming.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import fsspec
from botocore.exceptions import (
    BotoCoreError,
    NoCredentialsError,
    PartialCredentialsError,
)
from fsspec.implementations.local import LocalFileSystem

from drdd.errors import TransientError, UserError
from drdd.files import atomic_path, write_bytes

CHUNK = 4 * 1024**2


class Store:
    """Objects below `uri`, named by relative paths such as "versions/0a1b/config.json".

    Every method raises UserError when the store refuses, TransientError when it does not answer.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        with self._explained():
            self._fs, self._root = fsspec.core.url_to_fs(self.uri, **_options(self.uri))
        self._local = isinstance(self._fs, LocalFileSystem)

    def put(self, name: str, content: bytes | Path) -> None:
        path = self._path(name)
        with self._explained():
            if self._local and isinstance(content, Path):
                with atomic_path(Path(path)) as temporary:
                    shutil.copyfile(content, temporary)
            elif self._local:
                assert isinstance(content, bytes)
                write_bytes(Path(path), content)
            elif isinstance(content, Path):
                self._fs.put_file(str(content), path)
            else:
                self._fs.pipe_file(path, content)

    def get(self, name: str) -> bytes | None:
        """None when there is no such object."""
        with self._explained():
            try:
                content: bytes = self._fs.cat_file(self._path(name))
                return content
            except FileNotFoundError as error:
                self._refuse_missing_bucket(error)
                return None

    def fetch(self, name: str, path: Path) -> None:
        """Download to a local file. Raises UserError when there is no such object."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._explained():
            try:
                self._fs.get_file(self._path(name), str(path))
            except FileNotFoundError:
                raise UserError(f"{self.uri}/{name} is missing") from None

    def sha256(self, name: str) -> str | None:
        """Of the bytes as the store gives them back; None when there is no such object."""
        with self._explained():
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
        with self._explained():
            self._fs.invalidate_cache()
            try:
                found = self._fs.find(self._path(prefix))
            except FileNotFoundError as error:
                self._refuse_missing_bucket(error)
                return []
        start = len(self._root.rstrip("/")) + 1
        names = (str(path)[start:] for path in found)
        return sorted(name for name in names if not Path(name).name.startswith("."))

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _refuse_missing_bucket(self, error: FileNotFoundError) -> None:
        if "bucket" in str(error).lower():
            raise UserError(f"{self.uri}: its bucket does not exist; make it first") from None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        endpoint = os.environ.get("AWS_ENDPOINT_URL", "the default S3 endpoint")
        where = f"{self.uri} at {endpoint}" if "://" in self.uri else self.uri
        try:
            yield
        except PermissionError as error:
            advice = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            raise UserError(f"{where}: access refused ({error}); {advice}") from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            raise UserError(f"{where}: no keys to ask with; {advice}") from error
        except FileNotFoundError as error:
            self._refuse_missing_bucket(error)
            raise UserError(f"{where}: {error}") from error
        except (OSError, BotoCoreError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise TransientError(f"{where} does not answer ({reason})") from error


def _options(uri: str) -> dict[str, object]:
    """A dead endpoint is given up in seconds; no listing is ever stale."""
    if not uri.startswith("s3://"):
        return {}
    return {
        "skip_instance_cache": True,
        "use_listings_cache": False,
        "config_kwargs": {
            "connect_timeout": 5,
            "read_timeout": 30,
            "retries": {"max_attempts": 2, "mode": "standard"},
        },
    }
