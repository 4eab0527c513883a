"""An output is never one of the inputs, however either is named."""

import os
from collections.abc import Iterable
from pathlib import Path

from drdd.errors import UserError


def refuse_overwriting(outputs: Iterable[Path], inputs: Iterable[str | Path]) -> None:
    """Raise UserError when writing one of `outputs` would replace a file of `inputs`.

    Files are compared by their identity on the disk, so links, ".." and letters whose case the disk
    ignores make no difference. URIs are no local files, and are passed over.
    """
    read = {identity: place for place in inputs if (identity := _identity(place))}
    for output in outputs:
        identity = _identity(output)
        if identity in read:
            raise UserError(
                f"{output} would replace an input, {read[identity]}; name another output"
            )


def _identity(place: str | Path) -> tuple[int, int] | None:
    """Device and inode of a file; None when there is none."""
    try:
        state = os.stat(place)  # noqa: PTH116
    except (OSError, ValueError):  # ValueError: a name with a NUL byte
        return None
    return state.st_dev, state.st_ino


def refuse_outside(folders: Iterable[Path], root: Path) -> None:
    """Raise UserError when a link leads one of `folders`, which may not exist yet, out of `root`."""
    whole = root.resolve()
    for folder in folders:
        if not folder.resolve().is_relative_to(whole):
            raise UserError(
                f"{folder} is a link out of {root}; remove the link, or name the folder it leads to"
            )


def ignores_case(folder: Path) -> bool:
    """Whether two names that differ only in case are one file there, as far as an existing folder tells."""
    here = next(one for one in (folder, *folder.parents) if one.exists())
    swapped = here.with_name(here.name.swapcase()) if here.name else here
    return swapped.name != here.name and swapped.exists() and swapped.samefile(here)
