"""Where Ray Train keeps the checkpoints of a run."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pyarrow.fs import FileSystem, LocalFileSystem


@dataclass(frozen=True)
class Storage:
    """A folder; all nodes that save checkpoints must reach it. path: in `filesystem`."""

    filesystem: FileSystem
    path: str

    @classmethod
    def local(cls, folder: Path) -> "Storage":
        return cls(LocalFileSystem(), str(folder.absolute()))

    def discard(self, run: str) -> None:
        """Delete the checkpoints of `run`; those that cannot be deleted do no harm."""
        with suppress(OSError):
            self.filesystem.delete_dir(f"{self.path}/{run}")
