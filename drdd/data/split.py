"""Which photographs are held out, and which pairs are used: by name or by content hash, never by order."""

from collections.abc import Sequence
from hashlib import sha256
from math import ceil
from pathlib import PurePosixPath

from drdd.data.intake import Photograph
from drdd.errors import UserError


def hold_out(
    photographs: Sequence[Photograph], holdout: Sequence[str] | float, corpus: str
) -> tuple[list[Photograph], list[Photograph]]:
    """(training, held-out). Whole photographs; `holdout` is a list of file stems or a fraction.

    With a fraction the split follows each picture's own content hash, so adding pictures never
    moves an old one. Raises UserError when a stem is not there or no training picture remains.
    """
    if isinstance(holdout, float | int):
        held = {p.id for p in photographs if int(p.id[:8], 16) / 16**8 < holdout}
    else:
        stems = {PurePosixPath(p.name).stem: p.id for p in photographs}
        if missing := sorted(set(holdout) - set(stems)):
            raise UserError(
                f"corpora.{corpus}.holdout: no photograph is called {', '.join(missing)}; "
                f"there are {', '.join(sorted(stems))}"
            )
        held = {stems[name] for name in holdout}
    training = [p for p in photographs if p.id not in held]
    if not training:
        raise UserError(f"corpora.{corpus}: all {len(held)} photographs are held out, none trains")
    return training, [p for p in photographs if p.id in held]


def choose_pairs(keys: Sequence[str], fraction: float) -> set[str]:
    """A subset of ceil(fraction * n) keys. Nested: 5 % is inside 25 % is inside 100 %."""
    ranked = sorted(keys, key=lambda key: sha256(key.encode()).hexdigest())
    return set(ranked[: ceil(fraction * len(keys))])
