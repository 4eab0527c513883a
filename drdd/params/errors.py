"""Words for what is wrong with params: the key, the value, what is allowed, the nearest valid name."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

Model = type[BaseModel]
Tagged = Mapping[str, Mapping[Any, Model]]


def explain(
    error: ValidationError, content: Mapping[str, Any], root: Model, tagged: Tagged
) -> list[str]:
    """One line for each key that is wrong.

    content: the plain params; root: their schema; tagged: the members of each tagged union, by the
    key that holds the tag.
    """
    schema = _Schema(root, tagged)
    # A union reports one error for each of its members: the last one speaks for the key.
    lines = dict(schema.said(item, content) for item in error.errors(include_url=False))
    return [key + said for key, said in lines.items()]


def nearest(name: str, valid: Iterable[object]) -> str:
    """ ", did you mean 'x'?" when one of `valid` is close to `name`, else nothing."""
    known = {str(one).lower(): str(one) for one in valid}
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f", did you mean {known[close[0]]!r}?" if close else ""


@dataclass(frozen=True)
class _Schema:
    root: Model
    tagged: Tagged

    def said(self, item: Any, content: Mapping[str, Any]) -> tuple[str, str]:
        """The key of one pydantic error, and what is said of it."""
        loc = _file_location(item["loc"], content)
        key = ".".join(str(part) for part in loc)
        match item["type"]:
            case "extra_forbidden":
                valid = self._fields_at(loc[:-1], content)
                near = nearest(str(loc[-1]), valid)
                return key, f": unknown key{near}; valid here: {', '.join(sorted(valid))}"
            case "missing":
                return key, f": missing{self._help_of(loc, content)}"
            case "value_error":
                return key, f"{': ' if key else ''}{item['ctx']['error']}"
            case "union_tag_invalid":
                tag, discriminator = item["ctx"]["tag"], item["ctx"]["discriminator"].strip("'")
                members = self.tagged[discriminator]
                near = nearest(tag, members)
                return f"{key}.{discriminator}", f" = {tag!r}: one of {', '.join(members)}{near}"
            case "union_tag_not_found":
                discriminator = item["ctx"]["discriminator"].strip("'")
                members = self.tagged[discriminator]
                return f"{key}.{discriminator}", f": missing; one of {', '.join(members)}"
            case "literal_error":
                expected = item["ctx"]["expected"]
                near = nearest(str(item["input"]), re.findall(r"'([^']*)'", expected))
                said = f" = {item['input']!r}: must be {expected}{near}"
                return key, f"{said}{self._help_of(loc, content)}"
            case "string_type" if read_as := _read_as(item["input"]):
                advice = f": YAML reads this as {read_as}; put it in quotes"
                return key, f" = {item['input']!r}{advice}{self._help_of(loc, content)}"
        message = item["msg"][0].lower() + item["msg"][1:]
        return key, f" = {item['input']!r}: {message}{self._help_of(loc, content)}"

    def _model_at(self, loc: tuple[Any, ...], content: Any) -> Model | None:
        """The section of the schema that a location of the file belongs to."""
        model: Any = self.root
        for part in loc:
            content = content[part]
            if isinstance(model, type) and issubclass(model, BaseModel):
                field = model.model_fields.get(str(part))
                model = field.annotation if field else None
            elif get_origin(model) is dict:
                model = get_args(model)[1]
            elif get_origin(model) is list:
                model = get_args(model)[0]
            model = self._member(model, content)
        return model if isinstance(model, type) and issubclass(model, BaseModel) else None

    def _member(self, model: Any, content: Any) -> Any:
        """Of a tagged union, the member that the content's tag names."""
        if get_origin(model) is Annotated:
            model = get_args(model)[0]
        if get_origin(model) is not UnionType or not isinstance(content, dict):
            return model
        for discriminator, members in self.tagged.items():
            if set(get_args(model)) == set(members.values()):
                return members.get(content.get(discriminator))
        return model

    def _fields_at(self, loc: tuple[Any, ...], content: Any) -> list[str]:
        model = self._model_at(loc, content)
        return list(model.model_fields) if model else []

    def _help_of(self, loc: tuple[Any, ...], content: Any) -> str:
        model = self._model_at(loc[:-1], content)
        field = model.model_fields.get(str(loc[-1])) if model and loc else None
        return f" ({field.description})" if field and field.description else ""


def _read_as(value: object) -> str:
    """What a word that was to be text has become without quotes; "" for what is no single word."""
    match value:
        case None:
            return "nothing (null)"
        case bool():
            return "a truth value"
        case int() | float():
            return "a number"
    return ""


def _file_location(loc: tuple[Any, ...], content: Any) -> tuple[Any, ...]:
    """Pydantic's location without what the file does not have: union members, "[key]" marks."""
    kept = []
    here = content
    for position, part in enumerate(loc):
        if isinstance(here, dict) and (part in here or position == len(loc) - 1 != "[key]"):
            kept.append(part)
            here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int):
            kept.append(part)
            here = here[part] if part < len(here) else None
    return tuple(part for part in kept if part != "[key]")
