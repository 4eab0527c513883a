"""A file of a batch: what is read for it, and what it becomes."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from drdd.sources.entry import Entry


@dataclass(frozen=True)
class PlannedFile:
    """output: the name below the output root, "/"-separated, without ".."; mask: None without one."""

    entry: Entry
    output: str
    mask: Entry | None = None

    @property
    def map(self) -> str:
        """The name of its map of uncertainty, below the root of these."""
        return str(PurePosixPath(self.output).with_suffix(".png"))
