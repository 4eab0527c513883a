"""photographs.csv: the photographs that the base learns from, each free to use and to pass on."""

import csv
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

LIST = Path(__file__).with_name("photographs.csv")


@dataclass(frozen=True)
class Photograph:
    """A row of the list.

    package: of Debian (kind "debian") or an installed Python distribution (kind "pypi"); version: the one
    that the list was made from; path: inside the package, where a Qt resource file (.rcc) counts as a
    folder; sha256: of the file, hexadecimal; author, licence (SPDX where there is an identifier), source
    ("" if unknown): as the package says; split: "train", or "holdout", which validates the base and is
    never trained on.
    """

    package: str
    kind: str
    version: str
    path: str
    sha256: str
    author: str
    licence: str
    source: str
    split: str

    @property
    def name(self) -> str:
        """The file's name, unique in its package."""
        return PurePosixPath(self.path).name

    @property
    def place(self) -> PurePosixPath:
        """Where it is kept, below a folder of all."""
        return PurePosixPath(self.split, self.package, self.name)


def listed() -> list[Photograph]:
    """Every row, sorted by package and path."""
    with LIST.open(newline="", encoding="utf-8") as file:
        return [Photograph(**row) for row in csv.DictReader(file)]
