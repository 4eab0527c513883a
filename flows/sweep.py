"""The runs of a sweep: all combinations of the values of some params."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from drdd.errors import UserError

MOST = 200  # maximum runs of one sweep


@dataclass(frozen=True)
class Axis:
    """A key of params and its values, as text for overrides."""

    key: str
    values: tuple[str, ...]


def axes(given: Sequence[str]) -> list[Axis]:
    """Parse "KEY=VALUE,VALUE,...". A comma within brackets, braces or quotes is part of a value.

    Raises UserError on anything else, on a key that is given twice, and on too many combinations.
    """
    found = []
    for item in given:
        key, equals, values = item.partition("=")
        split = _split(values)
        if not key or not equals or not all(split):
            raise UserError(f"{item!r}: a sweep is KEY=VALUE,VALUE,... such as method=drdd,coupled")
        found.append(Axis(key, tuple(split)))
    keys = [axis.key for axis in found]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise UserError(f"{', '.join(twice)}: given more than once; list its values with commas")
    count = math.prod(len(axis.values) for axis in found)
    if count > MOST:
        raise UserError(f"{count} runs are more than a sweep's {MOST}; give fewer values")
    return found


def combinations(given: Sequence[Axis]) -> list[dict[str, str]]:
    """In the order of a nested loop, the last key changing first."""
    rows = itertools.product(*(axis.values for axis in given))
    return [dict(zip((axis.key for axis in given), row, strict=True)) for row in rows]


def _split(text: str) -> list[str]:
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]
