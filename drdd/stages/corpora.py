"""Common parts of ingest and ingest_pairs: write shards, the table of members and the data card."""

from collections.abc import Callable, Sequence
from pathlib import Path

from threadpoolctl import threadpool_limits

from drdd.data.library import Library
from drdd.data.pairs import Pair, write_pairs
from drdd.data.shards import read_known, writing
from drdd.intake.card import QUARANTINE, card_of, write_card
from drdd.intake.decoding import Limits
from drdd.intake.ingestion import IngestResult, Known, store
from drdd.intake.streaming import decoded_files
from drdd.params import Ingest
from drdd.params.data import Origin, Paired
from drdd.sources.entry import Entry, Rejected
from drdd.stages.paths import CORPORA, MEMBERS
from drdd.storage.versions import addresses

NAMED = 5


def limits(settings: Ingest, max_side: int | None = None) -> Limits:
    """max_side: of a corpus that is taken in smaller."""
    return Limits(settings.min_side, max_side or settings.max_side, settings.max_pixels)


def paired_limits(settings: Ingest, paired: Paired) -> Limits:
    """Pictures of pairs that differ in size stay as they are: scaled down, one would be no multiple of the
    other. An input may be as many times smaller as its target is larger.
    """
    if paired.scale == 1:
        return limits(settings)
    return Limits(-(-settings.min_side // paired.scale), settings.max_pixels, settings.max_pixels)


def into_shards(
    files: Sequence[Entry],
    limits: Limits,
    folder: Path,
    deduplicate: Callable[[Sequence[Known]], list[str | None]],
    progress: Callable[[int], None],
) -> IngestResult:
    """Decode `files` and write shards to `folder`. progress: called with the number of files done."""
    # The products of near_duplicates are small: BLAS threads would spin on cores that decode files.
    with writing(folder) as writer, threadpool_limits(limits=1, user_api="blas"):
        return store(decoded_files(files, limits), writer, deduplicate, progress)


def describe(
    folder: Path,
    name: str,
    origin: Origin,
    sources: Sequence[str],
    members: Sequence[Pair],
    rejected: Sequence[Rejected],
    counted: Sequence[Rejected],
) -> str:
    """Write MEMBERS and the data card. Returns a line that summarises them.

    counted: the last row of the quarantine table, for files that are no pictures.
    """
    write_pairs(folder / MEMBERS, members)
    known = read_known([folder])
    pairs = len(members) if members[0].input else None
    card = card_of(name, sources, origin.licence, origin.obtain, known, pairs, len(rejected))
    write_card(folder, card, known, Library(addresses([folder])), [*rejected, *counted])
    said = f"{len(members)} {'pictures' if pairs is None else 'pairs'}"
    if rejected:
        said += f", {len(rejected)} set aside (see {CORPORA / name / QUARANTINE}): {some(rejected)}"
    return "; ".join([said, *(f"{row.name}: {row.reason}" for row in counted)])


def some(rejected: Sequence[Rejected]) -> str:
    """The first few rejections as text."""
    more = f"; and {len(rejected) - NAMED} more" if len(rejected) > NAMED else ""
    return "; ".join(f"{one.name}: {one.reason}" for one in rejected[:NAMED]) + more
