"""What YAML makes of a word that is not in quotes, where a person may mean something else.

`no`, 010, 12:30 and 2024-01-01 are text to some readers of YAML, and a truth value, a number or a date to
others. params.yaml has two readers, this package and DVC: what they would read differently is refused, and
so is a key that is no text.
"""

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from drdd.errors import UserError

MERGE = "<<"
_NULL = re.compile(r"~|null|Null|NULL|")
_TRUTH = re.compile(r"true|True|TRUE|false|False|FALSE")
_OLD_TRUTH = re.compile(r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF")
_NUMBER = re.compile(
    r"[-+]?(0|[1-9][0-9]*)|[-+]?[0-9]+\.[0-9]*([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
    r"|\.[0-9]+([eE][-+][0-9]+)?"
)
_OTHER_NUMBER = re.compile(
    r"[-+]?0b[01_]+|[-+]?0o[0-7_]+|[-+]?0x[0-9a-fA-F_]+|[-+][0-9_]+|[0-9][0-9_]*"
    r"|[-+]?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|[-+]?\.[0-9_]+([eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"
)
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?")
_BREAKS = re.compile("[\x85\u2028\u2029]")


def meaning(word: str) -> str:
    """What YAML reads a word without quotes as; "" for text."""
    if _NULL.fullmatch(word):
        return "nothing (null)"
    if _TRUTH.fullmatch(word) or _OLD_TRUTH.fullmatch(word):
        return "a truth value"
    if _NUMBER.fullmatch(word) or _OTHER_NUMBER.fullmatch(word):
        return "a number"
    if _NOT_FINITE.fullmatch(word):
        return "a number that is not finite"
    if _DATE.fullmatch(word):
        return "a date"
    return "a default value" if word == "=" else ""


def refuse_surprises(text: str, origin: str) -> None:
    """Refuse bounded YAML in which a word may mean something else than it seems to.

    That is a key that is no text or there twice, a value that readers of YAML understand differently or
    that is not finite, a tag such as !!str, and invisible characters. Raises UserError, which names key and
    line, and YAMLError for text that is no YAML.
    """
    if found := _BREAKS.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise UserError(
            f"{origin}, line {line}: U+{ord(found[0]):04X} is an invisible line break; write it anew"
        )
    for line, said in _surprises(text):
        raise UserError(f"{origin}, line {line}: {said}" if "\n" in text else f"{origin}: {said}")


@dataclass
class _Open:
    """A mapping or list that is being read.

    flow: in braces or brackets; key: the one whose value comes next, None before a key.
    """

    path: str
    is_mapping: bool
    flow: bool
    key: str | None = None
    count: int = 0
    lines: dict[str, int] = field(default_factory=dict)  # of the keys so far

    @property
    def wants_key(self) -> bool:
        return self.is_mapping and self.key is None

    def next_path(self) -> str:
        """Of the value that comes next; of the mapping itself before a key."""
        if self.wants_key:
            return self.path
        name = self.key if self.is_mapping else str(self.count)
        return f"{self.path}.{name}" if self.path else str(name)

    def open_value(self, key: str, line: int) -> None:
        self.key = key
        self.lines[key] = line

    def close_value(self) -> None:
        self.key, self.count = None, self.count + 1


def _surprises(text: str) -> Iterator[tuple[int, str]]:
    """(line, what is wrong with it)."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    stack: list[_Open] = []
    for event in yaml.parse(text, Loader=loader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        here = stack[-1] if stack else None
        if isinstance(event, yaml.DocumentStartEvent) and (event.version or event.tags):
            yield line, "a line that begins with % is not read; leave it out"
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
            if stack:
                stack[-1].close_value()
        if not isinstance(event, yaml.NodeEvent):
            continue
        path = here.next_path() if here else ""
        yield from ((line, said) for said in _of_node(event, here, path))
        if isinstance(event, yaml.CollectionStartEvent):
            is_mapping = isinstance(event, yaml.MappingStartEvent)
            stack.append(_Open(path, is_mapping, bool(event.flow_style)))
        elif here and here.wants_key:
            here.open_value(getattr(event, "value", ""), line)
        elif here:
            here.close_value()


def _of_node(event: yaml.NodeEvent, here: "_Open | None", path: str) -> Iterator[str]:
    """What is wrong with a scalar, an alias or the start of a collection."""
    place = path or "the text"
    if tag := (getattr(event, "tag", None) or "").replace("tag:yaml.org,2002:", "!!"):
        yield f"{place} has the tag {tag}; leave it out, and if it is text, put it in quotes"
    wants_key = here is not None and here.wants_key
    if not isinstance(event, yaml.ScalarEvent):
        if wants_key:
            yield f"a key in {place} is no text; write a name"
        return
    if here and here.flow and _is_plain(event) and ":" in event.value:
        yield f"{event.value} in {here.path or place} has a colon between brackets; put it in quotes"
    yield from _of_key(event, here) if here and wants_key else _of_value(event, place)


def _of_key(event: yaml.ScalarEvent, here: _Open) -> Iterator[str]:
    word, place = event.value, f" in {here.path}" if here.path else ""
    if _is_plain(event) and (read_as := meaning(word)):
        yield f"YAML reads the key {word or '(nothing)'}{place} as {read_as}; put it in quotes"
    if hidden := _hidden(word):
        yield f"the key {word!r}{place} holds {hidden}, which is invisible; write it without"
    if before := here.lines.get(word):
        yield f"the key {word}{place} is in line {before} already; leave one of them out"


def _of_value(event: yaml.ScalarEvent, path: str) -> Iterator[str]:
    word = event.value
    if not _is_plain(event):
        return
    said = f"{path}: YAML reads {word} as {meaning(word)}"
    number = _NUMBER.fullmatch(word)
    if _OLD_TRUTH.fullmatch(word):
        yield f"{said}; put it in quotes if it is text, or write true or false"
    elif _NOT_FINITE.fullmatch(word) or (number and not math.isfinite(float(word))):
        yield f"{path}: YAML reads {word} as a number that is not finite; write a finite one"
    elif not number and _OTHER_NUMBER.fullmatch(word):
        advice = "put it in quotes if it is text, or write it as 10 or 1.5"
        yield f"{said} in a form of its own; {advice}"
    elif _DATE.fullmatch(word) or word == "=":
        yield f"{said}; put it in quotes"
    elif word == MERGE:
        yield f"{path}: {word} is text to some readers of YAML alone; put it in quotes"
    elif hidden := _hidden(word[:1] + word[-1:]):
        yield f"{path} begins or ends with {hidden}, which is invisible; write it without"


def _is_plain(event: yaml.ScalarEvent) -> bool:
    return not event.style


def _hidden(text: str) -> str:
    """The first character that is invisible and no space, as U+00A0."""
    found = (
        c for c in text if c != " " and unicodedata.category(c) in ("Zs", "Zl", "Zp", "Cf", "Cc")
    )
    return next((f"U+{ord(c):04X}" for c in found), "")
