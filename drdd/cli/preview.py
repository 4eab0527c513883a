"""Pairs of a task to look at before any stage has run, straight from the sources of its corpora.

Files are read in an order that follows from their names' hashes, until there are enough pairs that
would train. An input is the one that `prepare` makes: same picture, same key. What shows only once all
files are read is not known here: near duplicates, leaks, the choice of a share of the pairs.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path

import numpy as np

from drdd.data.pairs import TRAIN, Pair
from drdd.degradations.chain import degrade
from drdd.drawing.contact import TILE, contact_sheet
from drdd.drawing.sheets import cover
from drdd.errors import UserError
from drdd.files import exists
from drdd.intake.decoding import Limits
from drdd.intake.ingestion import IngestResult
from drdd.intake.pairing import both_sides, pair_up
from drdd.intake.split import hold_out
from drdd.intake.streaming import outcome
from drdd.metrics.fidelity import psnr
from drdd.params import Params, Task
from drdd.params.data import Holdout, drawn_by
from drdd.params.errors import nearest
from drdd.pictures.pixels import Picture, Pixels, pixels_of
from drdd.pictures.scaling import enlarged, reduced, whole_pixels
from drdd.sources.entry import Entry, Fetcher, Rejected
from drdd.sources.listing import entries
from drdd.sources.matching import match
from drdd.sources.packages import package_file
from drdd.stages.corpora import limits, paired_limits, some
from drdd.stages.paths import PHOTOGRAPHS

VARIANTS = 3


@dataclass(frozen=True)
class Example:
    """A target and its inputs, (H, W, 3) uint8 each; name: the file's, or the pair's key.

    aligned: whether input and target show the same scene, pixel for pixel.
    """

    name: str
    target: Pixels
    inputs: tuple[Pixels, ...]
    aligned: bool = True


@dataclass(frozen=True)
class Preview:
    """rejected: what was read on the way and would be set aside; read: the places of all files."""

    examples: list[Example]
    rejected: list[Rejected]
    read: list[str]


def examples(params: Params, name: str, count: int) -> Preview:
    """The first `count` pairs of task `name`, or all there are, its corpora taken in turn.

    Raises UserError when there is no such task, a corpus is missing or wrong, or none of its files
    would train; TransientError when a store does not answer.
    """
    if name not in params.tasks:
        known = ", ".join(params.tasks)
        raise UserError(f"no task {name!r}{nearest(name, params.tasks)}; there are: {known}")
    task = params.tasks[name]
    with Fetcher() as fetcher:
        intake = _Intake(params, fetcher)
        if task.paired:
            streams = [_matched(intake, corpus) for corpus in task.paired]
        else:
            streams = [_degraded(intake, corpus, name, task) for corpus in task.corpora]
        found = list(islice(_in_turn(streams), count))
    if not found:
        why = f" ({some(intake.rejected)})" if intake.rejected else "; lower their holdout"
        corpora = ", ".join(task.paired or task.corpora)
        raise UserError(f"tasks.{name}: nothing of {corpora} would be trained on{why}")
    return Preview(found, intake.rejected, intake.read)


def drawn(shown: Sequence[Example]) -> Pixels:
    """A sheet, one row an example: target and first input whole, then the middle of each as it is.

    (H, W, 3) uint8. Below an aligned input is the PSNR, in dB and RGB, of the whole of it.
    """
    rows = [_row(example) for example in shown]
    return np.asarray(contact_sheet([tile for row in rows for tile in row], len(rows[0])))


def _row(example: Example) -> list[tuple[Pixels, str]]:
    row = [
        (example.target, example.name),
        (example.inputs[0], "input"),
        (_detail(example.target), "target, detail"),
    ]
    for pixels in example.inputs:
        said = (
            f"input, {_psnr(pixels, example.target):.1f} dB" if example.aligned else "input, detail"
        )
        row.append((_detail(pixels), said))
    return row


def _detail(pixels: Pixels) -> Pixels:
    return np.asarray(cover(pixels, TILE))


def _psnr(one: Pixels, other: Pixels) -> float:
    return psnr(one.astype(np.float64), other.astype(np.float64))


@dataclass(frozen=True)
class _Intake:
    params: Params
    fetcher: Fetcher
    rejected: list[Rejected] = field(default_factory=list)
    read: list[str] = field(default_factory=list)

    def picture(self, entry: Entry, within: Limits) -> Picture | None:
        """As ingest takes it in; None, and a line in `rejected`, if it would be set aside."""
        self.read.append(entry.where)
        found = outcome(entry, self.fetcher, within)
        if isinstance(found, Picture):
            return found
        self.rejected.append(Rejected(entry.name, found))
        return None


def _degraded(intake: _Intake, corpus: str, name: str, task: Task) -> Iterator[Example]:
    params, holdout = intake.params, intake.params.corpora[corpus].holdout
    chain = [step.model_dump() for step in task.degradation]
    within = limits(params.ingest, params.corpora[corpus].max_side)
    files = {entry.name: entry for entry in _files(params, corpus)}
    for file in _candidates(files, holdout, f"corpora.{corpus}"):
        picture = intake.picture(files[file], within)
        if picture is None or not _trains(picture, holdout):
            continue
        target = whole_pixels(pixels_of(picture.content), task.scale)
        small = reduced(target, task.scale)
        inputs = (
            enlarged(
                degrade(small, chain, params.seed, TRAIN, name, picture.id, v, order=task.order),
                task.scale,
            )
            for v in range(min(task.inputs(), VARIANTS))
        )
        yield Example(f"{corpus}/{file}", target, tuple(inputs))


def _matched(intake: _Intake, corpus: str) -> Iterator[Example]:
    paired = intake.params.paired[corpus]
    within = paired_limits(intake.params.ingest, paired)
    pairs = {pair.key: pair for pair in both_sides(match(paired, corpus).pairs)}
    for key in _candidates(pairs, paired.holdout, f"paired.{corpus}"):
        target, input_ = (intake.picture(e, within) for e in (pairs[key].target, pairs[key].input))
        if target is None or input_ is None or not _trains(target, paired.holdout):
            continue
        ids = {one.name: one.id for one in (target, input_)}
        sizes = {one.name: one.original for one in (target, input_)}
        # Refuses unequal sizes.
        pair_up(corpus, [pairs[key]], IngestResult(ids, sizes), paired.aligned, paired.scale)
        shown = enlarged(pixels_of(input_.content), paired.scale)
        sides = pixels_of(target.content), (shown,)
        yield Example(f"{corpus}/{key}", *sides, paired.aligned)


def _files(params: Params, corpus: str) -> list[Entry]:
    """Of a clean corpus; what `photographs` would copy to its source, from where it lies now."""
    origin = params.corpora[corpus]
    for folder, names in params.photographs.items():
        if Path(origin.source) == PHOTOGRAPHS / folder:
            bundled = [package_file(name) for name in names]
            kept = [path for path in bundled if re.search(origin.include or "", path.name)]
            return [Entry(path.name, str(path)) for path in kept]
    if params.synthetic_of(corpus) and not exists(origin.source):
        stage = f"synthetic@{drawn_by(origin.source)}"
        raise UserError(f"corpora.{corpus}: not drawn yet; run `dvc repro {stage}` first")
    try:
        return entries(origin.source, origin.include, origin.column).files
    except UserError as error:
        said = f"corpora.{corpus}: {error}; `drdd data check` says where it is to be had"
        raise UserError(said) from None


def _candidates(names: Iterable[str], holdout: Holdout, key: str) -> list[str]:
    """What may train as far as names tell, in order of their hashes."""
    kept = list(names)
    if isinstance(holdout, list):
        split = hold_out([Pair("", name, "") for name in kept], holdout, f"{key}.holdout")
        kept = [pair.name for pair in split if pair.split == TRAIN]
    elif holdout == 1:
        kept = []
    return sorted(kept, key=lambda name: sha256(name.encode()).hexdigest())


def _trains(target: Picture, holdout: Holdout) -> bool:
    """Whether a candidate trains, as far as its content tells."""
    if isinstance(holdout, list):
        return True
    (pair,) = hold_out([Pair("", target.name, target.id)], holdout, "")
    return pair.split == TRAIN


def _in_turn(streams: Iterable[Iterator[Example]]) -> Iterator[Example]:
    """One of each, again and again, until all are exhausted; nothing is taken ahead."""
    waiting = deque(streams)
    while waiting:
        stream = waiting.popleft()
        if (example := next(stream, None)) is not None:
            yield example
            waiting.append(stream)
