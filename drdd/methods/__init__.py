"""The methods side by side, one file each: DRDD, and its baselines on the same data.

A method is added by adding a file: its name is the file's, and its class is called `Implementation`. It
then is a value of `method` in params.yaml, and is trained, evaluated and served like any other.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drdd.methods.method import Method

PROTOCOL = "method"  # the one module that is no method


def names() -> list[str]:
    """All methods, without importing any of them (or torch)."""
    return [module.name for module in iter_modules(__path__) if module.name != PROTOCOL]


def find(name: str) -> "type[Method]":
    """By a name in `names`. Raises ValueError for another."""
    if name not in names():
        raise ValueError(f"{name!r} is no method; there are {', '.join(names())}")
    found: type[Method] = import_module(f"{__name__}.{name}").Implementation
    return found
