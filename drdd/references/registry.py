"""The registry of references: restoration without training, as a person would do it instead.

A reference sees the degraded picture alone, enlarged already if the task has a scale: it is told neither
kind nor strength of what happened to it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drdd.pictures.pixels import Pixels

ENLARGED = "enlarged"
"""Stands among the kinds of degradations for a small input that was enlarged bicubically."""

Restore = Callable[["Pixels"], "Pixels"]
"""(H, W, 3) uint8, any size -> the same; the same pixels give the same pixels."""


@dataclass(frozen=True)
class Reference:
    """kinds: the degradations that it is for; source: where it was published."""

    name: str
    kinds: tuple[str, ...]
    source: str
    restore: Restore


REFERENCES: dict[str, Reference] = {}
"""By name, filled when the files of references are imported; `catalogue.py` imports all."""


def reference(*kinds: str, source: str) -> Callable[[Restore], Restore]:
    """Register a function under its name as what is usual for these kinds of degradations.

    Raises ValueError for a name or a kind that is taken.
    """

    def declared(function: Restore) -> Restore:
        name = function.__name__
        taken = {kind for one in REFERENCES.values() for kind in one.kinds}
        if name in REFERENCES or taken.intersection(kinds):
            raise ValueError(f"reference {name!r}: its name, or one of {kinds}, has one already")
        REFERENCES[name] = Reference(name, kinds, source, function)
        return function

    return declared
