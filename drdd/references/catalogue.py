"""All references by name, and which of them a task has."""

from collections.abc import Sequence

from drdd.references import haze, jpeg, masks, noise, sharpness, tone, weather
from drdd.references.registry import ENLARGED, REFERENCES

__all__ = ["ENLARGED", "FILES", "NONE", "REFERENCES", "reference_of"]

FILES = (haze, jpeg, masks, noise, sharpness, tone, weather)
NONE = "none"


def reference_of(asked: str | None, kinds: Sequence[str]) -> str | None:
    """The name of a task's reference, or None if it has none.

    asked: tasks.NAME.reference; kinds: of the task's degradations, and ENLARGED for one with a
    scale; [] if its pairs come from elsewhere.
    By default it is the reference of the one degradation that has one. Raises ValueError for a reference
    that does not exist, or is for none of the kinds.
    """
    if asked is None:
        found = [name for kind in kinds for name, one in REFERENCES.items() if kind in one.kinds]
        return found[0] if len(found) == 1 else None
    if asked == NONE:
        return None
    if asked not in REFERENCES:
        raise ValueError(
            f"reference = {asked!r}: one of {', '.join(sorted(REFERENCES))}, or {NONE}"
        )
    able = REFERENCES[asked].kinds
    if kinds and not set(able).intersection(kinds):
        raise ValueError(
            f"reference = {asked!r} is for {', '.join(able)}, not for {', '.join(kinds)}; "
            f"name another, or {NONE}"
        )
    return asked
