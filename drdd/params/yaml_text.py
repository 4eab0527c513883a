"""YAML that somebody else may have written: read within bounds, and nothing in it is resolved.

A few lines of aliases can stand for millions of values, and `${oc.env:NAME}` for a secret of the
environment. What is read here holds the values that its text shows, and no others.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from drdd.errors import UserError
from drdd.text import read_text

MAX_BYTES = 4 * 1024**2
MAX_VALUES = 200_000  # with each alias counted as all that it stands for
MAX_DEPTH = 50
MANDATORY = "???"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, where PyYAML was built with it


def read_yaml(path: Path | str) -> str:
    """The text of a YAML file within the bounds. Raises UserError, and FileNotFoundError."""
    text = read_text(path, most=MAX_BYTES)
    refuse_unbounded(text, str(path))
    return text


def load_yaml(path: Path | str) -> Any:
    """The plain content of a YAML file. Raises UserError and FileNotFoundError."""
    return plain(read_yaml(path), str(path))


def plain(text: str, origin: str) -> Any:
    """The plain content of bounded YAML. Raises UserError."""
    with constructing(origin):
        return yaml.load(text, Loader=_LOADER)


@contextmanager
def constructing(origin: str) -> Iterator[None]:
    """Make a UserError of whatever PyYAML raises for text that is no YAML, or a value not of its tag."""
    try:
        yield
    except yaml.YAMLError as error:
        raise UserError(f"{origin}{_problem(error)}") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if type(error).__module__ != "builtins":
            raise  # of a library, which words it
        raise UserError(
            f"{origin}: a value is not what YAML takes it for ({error}); put it in quotes"
        ) from None


def _problem(error: yaml.YAMLError) -> str:
    """Where and what, in one line."""
    if isinstance(error, ReaderError):
        code = error.character if isinstance(error.character, int) else ord(error.character)
        return f": the text holds U+{code:04X}, which YAML does not allow; leave it out"
    place = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = f", line {place.line + 1}" if place else ""
    said = (
        getattr(error, "problem", None) or getattr(error, "context", None) or "it cannot be parsed"
    )
    return f"{line}: no YAML ({said}); indent by spaces, not by tabs, and put special characters in quotes"


def refuse_unbounded(text: str, origin: str) -> None:
    """Refuse text that stands for more than MAX_VALUES values or MAX_DEPTH levels.

    The events of the parser are counted, before anything is made of them. Raises UserError, also for text
    that is no YAML.
    """
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UserError(f"{origin}: holds bytes that are no UTF-8; write it in UTF-8")
    with constructing(origin):
        _count(text, origin)


def _count(text: str, origin: str) -> None:
    sizes: dict[str, int] = {}  # of finished nodes with an anchor
    open_nodes: list[tuple[str | None, int]] = []  # anchor, count of values before it
    count = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in (anchor for anchor, _ in open_nodes):
                raise UserError(
                    f"{origin}: *{event.anchor} is an alias of what holds it; write it out"
                )
            count += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, count))
            count += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = count - before
        if count > MAX_VALUES:
            raise UserError(
                f"{origin}: stands for more than {MAX_VALUES} values, aliases (*name) included; "
                "write fewer of them"
            )
        if len(open_nodes) > MAX_DEPTH:
            raise UserError(f"{origin}: more than {MAX_DEPTH} levels deep; nest less")


def refuse_references(content: Any, origin: str) -> None:
    """Refuse `${...}` in any key or value of plain content: nothing resolves it. Raises UserError."""
    for key, text, is_key in _texts(content, ""):
        if "${" in text:
            place = (f"a key in {key}" if key else "a key") if is_key else key or "the text"
            raise UserError(
                f"{origin}: {place} holds '${{'; nothing is put in its place, from the environment or from "
                "elsewhere in the file: write the value itself, and leave secrets in environment variables"
            )


def refuse_mandatory(content: Any, origin: str) -> None:
    """Refuse the value `???`, which OmegaConf takes for none: it would be passed over. Raises UserError."""
    for key, text, is_key in _texts(content, ""):
        if text == MANDATORY and not is_key:
            raise UserError(
                f"{origin}: {key or 'the text'} is {MANDATORY}, which stands for a value that is yet to be "
                "given; write the value"
            )


def _texts(content: Any, key: str) -> Iterator[tuple[str, str, bool]]:
    """(key of it or of its section, text, whether it is a key) of every text in plain content."""
    if isinstance(content, str):
        yield key, content, False
    elif isinstance(content, dict):
        for name, value in content.items():
            yield key, str(name), True
            yield from _texts(value, f"{key}.{name}" if key else str(name))
    elif isinstance(content, list):
        for n, value in enumerate(content):
            yield from _texts(value, f"{key}.{n}" if key else str(n))
