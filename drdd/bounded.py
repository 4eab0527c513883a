"""Read JSON of strangers: bounded in size and depth, finite numbers, and text that can be written again."""

import json
import math
from typing import Any, NoReturn

from drdd.first_bytes import JSON, kind_of

DEEPEST = 32  # levels of nesting; a manifest has seven


def read_json(content: bytes, most: int) -> Any:
    """The value in `content`, at most `most` bytes of JSON.

    Raises ValueError, with what is wrong, for anything else, also for NaN, infinite or endless numbers,
    and for halves of surrogate pairs, which no file or terminal can take.
    """
    if len(content) > most:
        raise ValueError(f"it is larger than {most:,} bytes")
    try:
        value = json.loads(content, parse_constant=_refuse)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from None
    except UnicodeDecodeError:
        kind = kind_of(content)
        raise ValueError(f"it is {kind.name}" if kind else "it is not UTF-8") from None
    except json.JSONDecodeError as error:
        kind = kind_of(content)
        said = (
            f"{kind.name}; {kind.advice}" if kind and kind is not JSON else f"line {error.lineno}"
        )
        raise ValueError(f"it is not JSON ({said})") from None
    _check(value)
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it holds the number {constant}")


def _check(value: Any) -> None:
    """Level by level, since recursion is what deep nesting breaks."""
    level = [value]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for one in level:
            match one:
                case dict():
                    below += [*one, *one.values()]
                case list():
                    below += one
                case str():
                    if any("\ud800" <= character <= "\udfff" for character in one):
                        raise ValueError("it holds half of a surrogate pair")
                case float() if not math.isfinite(one):
                    raise ValueError("it holds a number that is not finite")
        if not below:
            return
        level = below
    raise ValueError(f"it is nested deeper than {DEEPEST} levels")
