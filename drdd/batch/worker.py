"""A worker of a batch: prefetch files, restore them in batches, and write in the background."""

import errno
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import torch

from drdd.batch.ledger import Record
from drdd.batch.planned import PlannedFile
from drdd.data.loader import ahead
from drdd.errors import UserError
from drdd.formats.carried import FORMATS, KEPT, Keeping, Source, Written
from drdd.formats.reading import source_of
from drdd.formats.writing import encoded
from drdd.inference.engine import Restoration, Restorer
from drdd.inference.options import Options
from drdd.inference.scales import scale_of
from drdd.intake.decoding import ANY_SIZE, Limits, decode_mask, opened_within
from drdd.pictures.errors import PictureError
from drdd.pictures.opening import decoding
from drdd.pictures.pixels import Hole
from drdd.pictures.uncertainty import uncertainty_png
from drdd.registry.location import folder_of
from drdd.sources.entry import Blob, Entry, Fetcher, Rejected
from drdd.sources.names import on_disk
from drdd.storage.objects import Store

BATCH_PIXELS = 64 * 1024**2  # large pictures are restored by themselves
# Failures of one output, not of the place for all of them.
OF_ITS_NAME = {
    errno.EISDIR,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EILSEQ,
}


@dataclass(frozen=True)
class Recipe:
    """All that determines the bytes of an output, except its input; and where maps go, which does not.

    model: as drdd.registry.location.folder_of takes it; weights: SHA-256 of its files; suffix: a key of
    drdd.formats.carried.FORMATS; keeping: what an output keeps of its input; maps: the root of the maps of
    uncertainty, "" for none.
    """

    model: str
    weights: str
    options: Options
    suffix: str
    keeping: Keeping = KEPT
    maps: str = ""

    @property
    def digest(self) -> str:
        options, keeping = (sorted(asdict(one).items()) for one in (self.options, self.keeping))
        decides = [self.weights, options, self.suffix, keeping]
        return sha256(repr(decides).encode()).hexdigest()


def weights_of(folder: Path) -> str:
    """SHA-256 over the two files of a model folder."""
    digest = sha256()
    for name in ("config.json", "model.safetensors"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class _Read:
    """A file that was read: its picture, or a record if there is nothing to restore."""

    file: PlannedFile
    sha256: str = ""
    mask_sha256: str = ""
    source: Source | None = field(default=None, compare=False)
    hole: Hole | None = field(default=None, compare=False)
    record: Record | None = None


def read_one(source: str, keeping: Keeping, format_: str, scale: int = 1) -> Source:
    """One picture, a local file or an object, for an output of this format, `scale` times larger.

    Raises UserError, TransientError.
    """
    blob = _fetched(source)
    try:
        return _decoded(blob, keeping, format_, scale)
    except PictureError as error:
        raise UserError(f"{source}: {error}") from None


def _decoded(blob: Blob, keeping: Keeping, format_: str, scale: int) -> Source:
    """Raises PictureError."""
    with decoding():
        return source_of(opened_within(blob, _for_output(scale)), keeping, format_)


def _for_output(scale: int) -> Limits:
    """Of an input whose output is `scale` times higher and wider."""
    return replace(ANY_SIZE, max_pixels=ANY_SIZE.max_pixels // scale**2)


def _fetched(source: str) -> Blob:
    with Fetcher() as fetcher:
        blob = fetcher.fetch(Entry(source, on_disk(source)))
    if isinstance(blob, Rejected):
        raise UserError(blob.reason if source in blob.reason else f"{source}: {blob.reason}")
    return blob


def mask_of_one(source: str, picture: Source) -> Hole:
    """What a mask file, local or an object, marks in a picture. Raises UserError."""
    try:
        return decode_mask(_fetched(source), ANY_SIZE, picture.size)
    except PictureError as error:
        raise UserError(f"{source}: the mask cannot be used: {error}") from None


class BatchRestorer:
    """Restores shares of files with one loaded model. known: records of earlier runs, by input."""

    def __init__(
        self, recipe: Recipe, output: str, known: Mapping[str, Record], batch: int, threads: int
    ) -> None:
        torch.set_num_threads(threads)
        self._recipe, self._known, self._batch = recipe, known, batch
        self._format = FORMATS[recipe.suffix]
        self._store = Store(output)
        self._maps = Store(recipe.maps) if recipe.maps else None
        self._restorer = Restorer.from_folder(folder_of(recipe.model))
        self._scale = scale_of(self._restorer.model, recipe.options.scale)
        self._name = recipe.model.rstrip("/").rpartition("/")[2]

    def records(self, files: Sequence[PlannedFile]) -> Iterator[Record]:
        """Yield one record per file, in order of completion."""
        waiting: dict[tuple[int, int], list[_Read]] = {}
        with ThreadPoolExecutor(2) as writers:
            writing: list[Future[Record]] = []
            for read in ahead(self._read, files):
                if read.record:
                    yield read.record
                    continue
                assert read.source is not None
                bucket = self._restorer.bucket(read.source.pixels, self._recipe.options)
                gathered = waiting.setdefault(bucket, [])
                gathered.append(read)
                if (
                    len(gathered) == self._batch
                    or len(gathered) * math.prod(bucket) >= BATCH_PIXELS
                ):
                    yield from _done(writing)
                    writing = self._restored(waiting.pop(bucket), writers)
            for gathered in waiting.values():
                yield from _done(writing)
                writing = self._restored(gathered, writers)
            yield from _done(writing)

    def _read(self, file: PlannedFile) -> _Read:
        with Fetcher() as fetcher:
            blob = fetcher.fetch(file.entry)
            mask = fetcher.fetch(file.mask) if file.mask else None
        if isinstance(blob, Rejected):
            return self._failed(_Read(file), blob.reason)
        read = _Read(file, sha256(blob.content).hexdigest())
        if mask is not None:
            if isinstance(mask, Rejected):
                return self._failed(read, f"its mask: {mask.reason}")
            read = replace(read, mask_sha256=sha256(mask.content).hexdigest())
        if (known := self._known.get(file.entry.name)) and self._is_done(known, read):
            return _Read(file, record=known)
        try:
            source = _decoded(blob, self._recipe.keeping, self._format, self._scale)
        except PictureError as error:
            return self._failed(read, str(error))
        if mask is None:
            return replace(read, source=source)
        try:
            hole = decode_mask(mask, ANY_SIZE, source.size)
        except PictureError as error:
            return self._failed(read, f"its mask: {error}")
        return replace(read, source=source, hole=hole)

    def _failed(self, read: _Read, problem: str) -> _Read:
        return _Read(read.file, record=self._record(read, problem=problem))

    def _is_done(self, known: Record, read: _Read) -> bool:
        """Whether the hashes of the inputs and of the existing outputs match an earlier record."""
        file = read.file
        same = (read.sha256, read.mask_sha256, self._recipe.digest, file.output, "")
        if (
            known.sha256,
            known.mask_sha256,
            known.recipe,
            known.output,
            known.problem,
        ) != same:
            return False
        if self._store.sha256(known.output) != known.output_sha256:
            return False
        if self._maps is None:
            return True
        return bool(known.map_sha256) and self._maps.sha256(file.map) == known.map_sha256

    def _restored(
        self, reads: Sequence[_Read], writers: ThreadPoolExecutor
    ) -> list[Future[Record]]:
        pictures = [read.source.pixels for read in reads if read.source is not None]
        holes = [read.hole for read in reads]
        restored = self._restorer.restore_batch(pictures, self._recipe.options, masks=holes)
        return [
            writers.submit(self._written, read, one)
            for read, one in zip(reads, restored, strict=True)
        ]

    def _written(self, read: _Read, restored: Restoration) -> Record:
        assert read.source is not None
        carried, keeping = read.source.carried, self._recipe.keeping
        try:
            written = encoded(restored.output, carried, keeping, self._format)
        except UserError as error:
            return self._record(read, problem=str(error))
        drawn = b"" if restored.deviation is None else uncertainty_png(restored.deviation)
        try:
            self._store.put(read.file.output, written.content)
            if self._maps is not None and drawn:
                self._maps.put(read.file.map, drawn)
        except UserError as error:
            if getattr(error.__cause__, "errno", None) not in OF_ITS_NAME:
                raise  # such as a full disk: the next file would fail too
            return self._record(read, problem=str(error))
        record = self._record(read, written)
        if self._maps is None or not drawn:
            return record
        return replace(record, map_sha256=sha256(drawn).hexdigest())

    def _record(self, read: _Read, written: Written | None = None, problem: str = "") -> Record:
        return Record(
            input=read.file.entry.name,
            sha256=read.sha256,
            recipe=self._recipe.digest,
            model=self._name,
            output=read.file.output,
            output_sha256=sha256(written.content).hexdigest() if written else "",
            mask_sha256=read.mask_sha256,
            note="; ".join(written.said) if written else "",
            problem=problem,
        )


def _done(writing: list[Future[Record]]) -> Iterator[Record]:
    for future in writing:
        yield future.result()
