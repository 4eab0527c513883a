"""The restoration methods, one file each: DRDD and its baselines.

To add a method, add a file with a class `Implementation`. The name of the file becomes a value of
`method` in params.yaml, and the method is trained, evaluated and served like the others.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drdd.methods.method import Method

PROTOCOL = "method"  # the module that defines the interface; it is not a method


def names() -> list[str]:
    """The names of all methods. Imports neither the methods nor torch."""
    return [module.name for module in iter_modules(__path__) if module.name != PROTOCOL]


def find(name: str) -> "type[Method]":
    """The class of the method called `name`. Raises ValueError for an unknown name."""
    if name not in names():
        raise ValueError(f"{name!r} is no method; there are {', '.join(names())}")
    found: type[Method] = import_module(f"{__name__}.{name}").Implementation
    return found
