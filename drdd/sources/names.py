"""Names that look alike: "é" may be stored as one character or as "e" and an accent.

macOS and its archives decompose accents, most other systems compose them, and a person sees no difference.
So names are compared as they look; two files of one folder whose names look alike are not told apart.
"""

import os
from pathlib import PurePath
from unicodedata import normalize


def as_seen(name: str) -> str:
    """The composed form (NFC), which is the same for all names that look alike."""
    return name if name.isascii() else normalize("NFC", name)


def on_disk(path: str) -> str:
    """A local path; where nothing has that name, the only one that looks like it, if there is one."""
    if path.isascii() or os.path.lexists(path):
        return path
    found = ""
    for part in PurePath(path).parts:
        below = os.path.join(found, part)  # noqa: PTH118
        if not part.isascii() and not os.path.lexists(below):
            try:
                alike = [one for one in os.listdir(found or ".") if as_seen(one) == as_seen(part)]  # noqa: PTH208
            except (OSError, ValueError):
                return path
            if len(alike) != 1:
                return path
            below = os.path.join(found, alike[0])  # noqa: PTH118
        found = below
    return found


def spellings(path: str) -> list[str]:
    """The other ways to store a name that looks like this one: composed, and decomposed."""
    forms = dict.fromkeys([normalize("NFC", path), normalize("NFD", path)])
    return [one for one in forms if one != path]
