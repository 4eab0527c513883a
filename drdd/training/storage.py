"""Where Ray Train keeps the checkpoints of a run: a folder of this machine, or one that all nodes reach."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pyarrow.fs import FileSystem, LocalFileSystem, S3FileSystem

from drdd.errors import UserError

LOCAL = LocalFileSystem()


@dataclass(frozen=True)
class Storage:
    """path: in `filesystem`, which workers open with the keys of their own environment."""

    path: str
    filesystem: FileSystem

    def discard(self, run: str) -> None:
        """Delete the checkpoints of `run`; those that cannot be deleted do no harm."""
        with suppress(OSError):
            self.filesystem.delete_dir(f"{self.path}/{run}")


def storage_at(place: str | Path) -> Storage:
    """place: a folder, or an s3:// URL whose endpoint and keys are in the AWS_* environment.

    Raises UserError when nothing can be kept there.
    """
    scheme, mark, path = str(place).partition("://")
    if mark and scheme != "s3":
        raise UserError(
            f"{place}: checkpoints of a cluster of several machines are kept on S3 or in a folder that "
            "all of them mount; make DVC's default remote one of these"
        )
    storage = Storage(path, S3FileSystem()) if mark else Storage(str(Path(place).absolute()), LOCAL)
    try:
        storage.filesystem.create_dir(storage.path)
    except OSError as error:
        advice = "; set AWS_ENDPOINT_URL and the keys in the environment" if mark else ""
        raise UserError(f"{place}: checkpoints cannot be kept there ({error}){advice}") from error
    return storage
