"""Plots by matplotlib as SVG, with reproducible bytes and colours from the style of the page."""

import io
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

# On a page, these colours are replaced by variables of its style.
COLOURS = {
    "#5d6675": "--faint",
    "#e2e3df": "--line",
    "#1a202c": "--ink",
    "#2457c5": "--accent",
    "#b0700f": "--other",
    "#ffffff": "--card",
}
FAINT, LINE, INK, ACCENT, OTHER, PAPER = COLOURS
SVG = "http://www.w3.org/2000/svg"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # keep text as text
    "text.parse_math": False,  # a name may hold a $
    "font.sans-serif": ["DejaVu Sans", "sans-serif"],
    "font.size": 12,
    "axes.labelcolor": FAINT,
    "axes.labelsize": 12,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "text.color": FAINT,
    "grid.color": LINE,
    "axes.axisbelow": True,
}
for _prefix, _uri in (("", SVG), ("xlink", "http://www.w3.org/1999/xlink")):
    ElementTree.register_namespace(_prefix, _uri)


def figure(width: float, height: float) -> Figure:
    """An empty figure, with sizes and positions in pixels (one point is one pixel)."""
    drawn = Figure(figsize=(width / 72, height / 72), dpi=72)
    drawn.patch.set_visible(False)
    return drawn


def number(value: float, _: int | None = None) -> str:
    """The label of a value on an axis."""
    text = f"{value:,.0f}" if abs(value) >= 10 or value == 0 else f"{round(value, 9):g}"
    return text.replace("-", "\N{MINUS SIGN}")


NUMBERS = FuncFormatter(number)


def ticks(count: int, whole: bool = False) -> MaxNLocator:
    """About `count` round values, in steps of 1, 2 or 5 times a power of ten."""
    return MaxNLocator(count + 1, steps=[1, 2, 5, 10], integer=whole)


def whole_file(drawn: Figure, label: str) -> bytes:
    """The SVG as a file of its own, on white. label: text for screen readers."""
    root = _drawn(drawn, label, {})
    for side in ("width", "height"):  # in pixels
        root.set(side, root.get(side, "").removesuffix("pt"))
    return ElementTree.tostring(root, "utf-8") + b"\n"


def inline(
    drawn: Figure,
    label: str,
    kind: str,
    titles: Mapping[str, str] | None = None,
    hidden: bool = False,
) -> str:
    """The SVG as an element of a page. kind: its class; titles: tooltips by gid.

    label: text for screen readers, different for each figure of a page; hidden: whether screen readers skip
    the figure because it repeats the text beside it.
    """
    root = _drawn(drawn, label, titles or {})
    if hidden:
        root.attrib.pop("aria-label")
        root.set("aria-hidden", "true")
    root.set("class", kind)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    text = ElementTree.tostring(root, "unicode")
    for colour, variable in COLOURS.items():
        text = text.replace(colour, f"var({variable})")
    return text


def _drawn(drawn: Figure, label: str, titles: Mapping[str, str]) -> ElementTree.Element:
    """The SVG tree, with names of parts (gid) as classes, since ids must be unique on a page."""
    buffer = io.BytesIO()
    with rc_context({**STYLE, "svg.hashsalt": label}):
        drawn.savefig(buffer, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for name in (f"{{{SVG}}}metadata", f"{{{SVG}}}defs"):
        if (found := root.find(name)) is not None:
            root.remove(found)
    for part in root.iter(f"{{{SVG}}}g"):
        if name := part.attrib.pop("id", ""):
            part.set("class", name.partition("_")[0])
        if name in titles:
            title = ElementTree.Element(f"{{{SVG}}}title")
            title.text = titles[name]
            part.insert(0, title)
    root.set("role", "img")
    root.set("aria-label", label)
    return root
