"""What a test reads of a plot: its named parts and where they lie."""

import re
from xml.etree import ElementTree

SPACE = "{http://www.w3.org/2000/svg}"
Point = tuple[float, float]


def parts(drawn: str | bytes, name: str) -> list[ElementTree.Element]:
    """The parts of a plot that were given this name, in order."""
    root = ElementTree.fromstring(drawn)
    return [part for part in root.iter(f"{SPACE}g") if part.get("class") == name]


def points(part: ElementTree.Element) -> list[Point]:
    """The corners of a line, or the places of its dots, in pixels; y points down."""
    dots = [(float(u.get("x", 0)), float(u.get("y", 0))) for u in part.iter(f"{SPACE}use")]
    if dots:
        return dots
    path = part.find(f".//{SPACE}path")
    assert path is not None
    found = re.findall(r"[ML] (\S+) (\S+)", path.get("d", ""))
    return [(float(x), float(y)) for x, y in found]


def texts(drawn: str | bytes) -> list[str]:
    root = ElementTree.fromstring(drawn)
    return [text.text or "" for text in root.iter(f"{SPACE}text")]


def titles(drawn: str | bytes) -> list[str]:
    root = ElementTree.fromstring(drawn)
    return [title.text or "" for title in root.iter(f"{SPACE}title")]
