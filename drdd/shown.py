"""What people read: short ids, and strings of strangers that steer no terminal."""

import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

DIGITS = 12  # of an id
# Control characters, format characters such as those that reorder a line, surrogates, line separators.
_STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def short(id_: str) -> str:
    """The first digits of a version's id, for tables and sentences; programs take the whole id."""
    is_hash = len(id_) == 64 and set(id_) <= set("0123456789abcdef")
    return id_[:DIGITS] if is_hash else id_


def shortened(text: str, most: int = 200) -> str:
    """`text`, or its beginning and how long it is."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} letters)"


def console(**settings: Any) -> "Console":
    """A terminal that shows every string as it is: "[red]" and ":bug:" in a path are no markup.

    settings: of rich's Console, such as stderr=True. Colours are given by rich's Text and by styles.
    """
    from rich.console import Console

    return Console(**{"highlight": False, "markup": False, "emoji": False} | settings)


def no_formula(path: str) -> str:
    """The same path, written so that no spreadsheet takes it for a formula: ./=x.png for =x.png."""
    return f"./{path}" if path[:1] in tuple("=+-@\t\r") else path


def printable(text: object, lines: bool = False) -> str:
    """`text` with a visible escape, such as \\x1b, for each character that steers. lines: keep "\\n"."""
    return "".join(
        one if (one == "\n" and lines) or _is_harmless(one) else _escaped(one) for one in str(text)
    )


def _is_harmless(character: str) -> bool:
    return unicodedata.category(character) not in _STEERING


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
