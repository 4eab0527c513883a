"""The masks of a batch: one for all pictures, or a folder of masks with the names of the pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from drdd.batch.planned import PlannedFile
from drdd.errors import UserError
from drdd.intake.decoding import ANY_SIZE, decode_mask
from drdd.pictures.errors import PictureError
from drdd.sources.entry import Entry, Fetcher, Rejected, where_of
from drdd.sources.listing import entries
from drdd.sources.names import as_seen, on_disk


def one_mask(source: str) -> Entry:
    """A mask file, local or on S3, as an entry. Raises UserError for what is a mask of no picture."""
    entry = Entry(source, where_of(on_disk(source)))
    with Fetcher() as fetcher:
        blob = fetcher.fetch(entry)
    try:
        if isinstance(blob, Rejected):
            raise PictureError(blob.reason)
        decode_mask(blob, ANY_SIZE)
    except PictureError as error:
        raise UserError(f"{source}: the mask cannot be used: {error}") from None
    return entry


def folder_of_masks(source: str) -> dict[str, Entry]:
    """The masks of a folder or prefix, by name without suffix. Raises UserError for two of one name."""
    found: dict[str, Entry] = {}
    for entry in entries(source).files:
        other = found.setdefault(_key(entry.name), entry)
        if other is not entry:
            raise UserError(
                f"{source}: {other.name} and {entry.name} would be masks of the same picture; remove one"
            )
    return found


def with_masks(
    files: Sequence[PlannedFile], masks: Entry | Mapping[str, Entry]
) -> list[PlannedFile]:
    """The files with their masks. One without a mask is refused by itself."""
    if isinstance(masks, Entry):
        return [replace(file, mask=masks) for file in files]
    return [_masked(file, masks.get(_key(file.entry.name))) for file in files]


def _masked(file: PlannedFile, mask: Entry | None) -> PlannedFile:
    if mask is None:
        stem = PurePosixPath(file.entry.name).with_suffix("")
        missing = f"it has no mask: none is called {stem}, with the suffix of a picture"
        return replace(file, entry=replace(file.entry, refusal=file.entry.refusal or missing))
    return replace(file, mask=mask)


def _key(name: str) -> str:
    return as_seen(str(PurePosixPath(name.lstrip("/")).with_suffix("")))
