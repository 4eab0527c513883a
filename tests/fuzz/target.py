"""What is fuzzed: a room that takes bytes of strangers, and how such bytes are made."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

# A file or a request is a good one, or it is refused by an error that the room documents.
Attempt = Callable[[bytes], bool]
Bytes = st.SearchStrategy[bytes]


@dataclass(frozen=True)
class Target:
    """inputs: makes one input. opened: gives the attempt, working in an empty folder.

    The attempt returns whether the input was accepted; it raises nothing but for a fault.
    """

    name: str
    inputs: Callable[[], Bytes]
    opened: Callable[[Path], Attempt]


@st.composite
def edited(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """A good file with up to eight places changed, cut out, repeated, or cut off."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 8))):
        # Headers decide most, so half of the places are among the first bytes.
        end = draw(st.sampled_from([min(64, len(content)), len(content)]))
        at = draw(st.integers(0, end))
        match draw(st.sampled_from(("set", "insert", "delete", "repeat", "cut", "number"))):
            case "set":
                patch = draw(st.binary(min_size=1, max_size=4))
                content[at : at + len(patch)] = patch
            case "insert":
                content[at:at] = draw(st.binary(max_size=40))
            case "delete":
                del content[at : at + draw(st.integers(1, 64))]
            case "repeat":
                part = bytes(content[at : at + draw(st.integers(1, 64))])
                content[at:at] = part * draw(st.integers(1, 20))
            case "cut":
                del content[at:]
            case "number":  # sizes and offsets: the largest, the smallest, and their neighbours
                bits = draw(st.sampled_from((8, 16, 32, 64)))
                value = (2 ** draw(st.integers(0, bits)) + draw(st.integers(-1, 1))) % 2**bits
                order = "little" if draw(st.booleans()) else "big"
                content[at : at + bits // 8] = value.to_bytes(bits // 8, order)
    return bytes(content)


def files(seeds: Sequence[bytes]) -> Bytes:
    """Mostly good files that were edited, at times any bytes."""
    return st.one_of(edited(seeds), edited(seeds), edited(seeds), st.binary(max_size=400))


STRANGE: tuple[Any, ...] = (
    None, True, [], {}, "", "[red]x[/red]", "[/]", "[link=file:///etc/passwd]x", "\x1b[2J", "\x00",
    "\u202e", "\ud800", "${oc.env:HOME}", "../../etc/passwd", "/etc/passwd", "a" * 5000, -1, 0, 2**63,
    10**400, 1e308, math.inf, -math.inf, math.nan, "nan", "1e999", "2026-13-45T99:99", "champion",
    "0" * 64, "9" * 5000,
)  # fmt: skip


@cache
def _values() -> st.SearchStrategy[Any]:
    leaves = st.one_of(st.sampled_from(STRANGE), st.integers(), st.floats(), st.text(max_size=20))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
        ),
        max_leaves=8,
    )


@st.composite
def altered(draw: st.DrawFn, good: Any) -> Any:
    """Plain content with one to five of its values, keys or items replaced, removed, moved or nested."""
    content = json.loads(json.dumps(good))
    for _ in range(draw(st.integers(1, 5))):
        content = _altered_once(draw, content)
    return content


def _altered_once(draw: st.DrawFn, content: Any, depth: int = 0) -> Any:
    if isinstance(content, dict | list) and content and draw(st.integers(0, 4 + depth)) < 4:
        keys: Sequence[Any] = sorted(content) if isinstance(content, dict) else range(len(content))
        key = draw(st.sampled_from(keys))
        inner = draw(st.sampled_from(("in", "in", "in", "remove", "rename")))
        if inner == "in":
            content[key] = _altered_once(draw, content[key], depth + 1)
        elif inner == "remove":
            del content[key]
        elif isinstance(content, dict):
            content[draw(st.sampled_from(["", "x.y", "[red]", "\x1b", "a" * 300, *keys]))] = (
                content.pop(key)
            )
        return content
    if draw(st.integers(0, 9)) == 0:
        for _ in range(draw(st.sampled_from((10, 100, 900)))):
            content = [content]
        return content
    return draw(_values())


def documents(good: Sequence[Any]) -> Bytes:
    """Good JSON with altered content, or with edited text."""

    def text(content: Any) -> bytes:
        return json.dumps(content).encode("utf-8", "surrogatepass")

    changed = st.sampled_from(good).flatmap(altered).map(text)
    return st.one_of(changed, changed, changed, files([text(one) for one in good]))
