"""Tables of the pairs of a corpus or a task, with their side of the split."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from math import ceil
from pathlib import Path

import pandas as pd

from drdd.files import write_bytes

TRAIN, HOLDOUT = "train", "holdout"


@dataclass(frozen=True)
class Pair:
    """A target and its input, as ids of pictures; input is "" if it does not exist (yet).

    corpus: of the target; name: of the file, or the pair's key; split: TRAIN or HOLDOUT once split;
    variant: number of the degraded input among those of one target; scale: how many times higher and wider
    the target is than the input, but for rows and columns of the target that make no whole pixel.
    """

    corpus: str
    name: str
    target: str
    input: str = ""
    split: str = ""
    variant: int = 0
    scale: int = 1

    @property
    def image(self) -> str:
        """The name in results, unique over all corpora."""
        return f"{self.corpus}/{self.name}"


def write_pairs(path: Path, pairs: Iterable[Pair]) -> None:
    """A CSV file; the same pairs give the same bytes."""
    names = [field.name for field in fields(Pair)]
    table = pd.DataFrame([asdict(pair) for pair in pairs], columns=names)
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())


def read_pairs(path: Path, split: str | None = None) -> list[Pair]:
    """All pairs, or those of one side of the split."""
    types = {field.name: field.type for field in fields(Pair)}
    # Otherwise a carriage return in a name, as on macOS, would end the line.
    table = pd.read_csv(path, dtype=types, keep_default_na=False, lineterminator="\n")
    pairs = [Pair(*row) for row in table.itertuples(index=False)]
    return [pair for pair in pairs if split in (None, pair.split)]


def choose_pairs(keys: Sequence[str], fraction: float) -> set[str]:
    """A subset of ceil(fraction * n) keys. Nested: 5 % is inside 25 % is inside 100 %."""
    ranked = sorted(keys, key=lambda key: sha256(key.encode()).hexdigest())
    return set(ranked[: ceil(fraction * len(keys))])
