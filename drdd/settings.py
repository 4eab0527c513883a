"""Building blocks of settings: the base class of sections, and types of names and numbers."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LONGEST = 64  # characters: file systems end a name at 255 bytes, with what is added to it
_OTHERWISE = frozenset(
    ["null", "true", "false", "yes", "no", "on", "off", "nan", "inf", "infinity", "na"]
)
_OURS = {
    "mean": "the mean of all tasks",
    "step": "the column of images seen in the curves of training",
    "none": "the word for no entry at all",
}
_ALIAS = re.compile(
    r"\w[\w.-]*", re.ASCII
)  # no leading dot: neither "..", nor a temporary file's name
FEWEST = 6  # digits of a version's id that may stand for it
_LIKE_AN_ID = re.compile(rf"[0-9a-fA-F]{{{FEWEST},}}")
_LONGEST_ALIAS = 100
MOST_SCALE = 8  # times higher and wider


def _named(name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise ValueError(
            f"{name!r} is no name; write lower-case letters (a-z), digits and _, a letter first, "
            f"{_LONGEST} characters at most"
        )
    if name in _OTHERWISE:
        raise ValueError(
            f"{name!r} is reserved: readers of YAML and of tables take it for no text; choose another name"
        )
    if name in _OURS:
        raise ValueError(f"{name!r} is reserved: it is {_OURS[name]}; choose another name")
    return name


def is_alias(text: str) -> bool:
    """Whether an alias may have this name. None looks like an id, so no name means two things."""
    named = len(text) <= _LONGEST_ALIAS and _ALIAS.fullmatch(text) is not None
    return named and _LIKE_AN_ID.fullmatch(text) is None


def no_alias(name: str) -> str:
    """Why `name` cannot be one."""
    return (
        f"{name!r} cannot be an alias: letters, digits and ._-, but neither a . first nor six or more "
        "digits of an id (0-9, a-f) alone"
    )


def _alias(name: str) -> str:
    if not is_alias(name):
        raise ValueError(no_alias(name))
    return name


Name = Annotated[str, AfterValidator(_named)]
"""Of an entry of params: a key of results, a column, a folder and a part of a stage's name."""
AliasName = Annotated[str, AfterValidator(_alias)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Scale = Annotated[int, Field(ge=1, le=MOST_SCALE)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
