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
from drdd.inference.engine import Restoration, Restorer
from drdd.inference.options import Options
from drdd.intake.decoding import Limits, decode, decode_mask
from drdd.pictures.errors import PictureError
from drdd.pictures.files import FORMATS, encoded
from drdd.pictures.pixels import Hole, Pixels
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
ANY = Limits(min_side=1, max_side=10**9, max_pixels=10**9)


@dataclass(frozen=True)
class Recipe:
    """All that determines the bytes of an output, except its input; and where maps go, which does not.

    model: as drdd.registry.location.folder_of takes it; weights: SHA-256 of its files; suffix: a key of
    drdd.pictures.files.FORMATS; maps: the root of the maps of uncertainty, "" for none.
    """

    model: str
    weights: str
    options: Options
    suffix: str
    maps: str = ""

    @property
    def digest(self) -> str:
        decides = [self.weights, sorted(asdict(self.options).items()), self.suffix]
        return sha256(repr(decides).encode()).hexdigest()


def weights_of(folder: Path) -> str:
    """SHA-256 over the two files of a model folder."""
    digest = sha256()
    for name in ("config.json", "model.safetensors"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class _Read:
    """A file that was read: its pixels, or a record if there is nothing to restore."""

    file: PlannedFile
    sha256: str = ""
    mask_sha256: str = ""
    pixels: Pixels | None = field(default=None, compare=False)
    hole: Hole | None = field(default=None, compare=False)
    record: Record | None = None


def read_one(source: str) -> Pixels:
    """(H, W, 3) uint8 of one picture, a local file or an object. Raises UserError, TransientError."""
    blob = _fetched(source)
    try:
        return decode(blob, ANY)
    except PictureError as error:
        raise UserError(f"{source}: {error}") from None


def _fetched(source: str) -> Blob:
    with Fetcher() as fetcher:
        blob = fetcher.fetch(Entry(source, on_disk(source)))
    if isinstance(blob, Rejected):
        raise UserError(blob.reason if source in blob.reason else f"{source}: {blob.reason}")
    return blob


def mask_of_one(source: str, pixels: Pixels) -> Hole:
    """What a mask file, local or an object, marks in a picture. Raises UserError."""
    try:
        return decode_mask(_fetched(source), ANY, pixels.shape[:2])
    except PictureError as error:
        raise UserError(f"{source}: the mask cannot be used: {error}") from None


class BatchRestorer:
    """Restores shares of files with one loaded model. known: records of earlier runs, by input."""

    def __init__(
        self, recipe: Recipe, output: str, known: Mapping[str, Record], batch: int, threads: int
    ) -> None:
        torch.set_num_threads(threads)
        self._recipe, self._known, self._batch = recipe, known, batch
        self._store = Store(output)
        self._maps = Store(recipe.maps) if recipe.maps else None
        self._restorer = Restorer.from_folder(folder_of(recipe.model))
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
                assert read.pixels is not None
                bucket = self._restorer.bucket(read.pixels)
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
            pixels = decode(blob, ANY)
        except PictureError as error:
            return self._failed(read, str(error))
        if mask is None:
            return replace(read, pixels=pixels)
        try:
            hole = decode_mask(mask, ANY, pixels.shape[:2])
        except PictureError as error:
            return self._failed(read, f"its mask: {error}")
        return replace(read, pixels=pixels, hole=hole)

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
        pictures = [read.pixels for read in reads if read.pixels is not None]
        holes = [read.hole for read in reads]
        restored = self._restorer.restore_batch(pictures, self._recipe.options, masks=holes)
        return [
            writers.submit(self._written, read, one)
            for read, one in zip(reads, restored, strict=True)
        ]

    def _written(self, read: _Read, restored: Restoration) -> Record:
        try:
            content = encoded(restored.output, FORMATS[self._recipe.suffix])
        except UserError as error:
            return self._record(read, problem=str(error))
        drawn = b"" if restored.deviation is None else uncertainty_png(restored.deviation)
        try:
            self._store.put(read.file.output, content)
            if self._maps is not None and drawn:
                self._maps.put(read.file.map, drawn)
        except UserError as error:
            if getattr(error.__cause__, "errno", None) not in OF_ITS_NAME:
                raise  # such as a full disk: the next file would fail too
            return self._record(read, problem=str(error))
        record = self._record(read, sha256(content).hexdigest())
        if self._maps is None or not drawn:
            return record
        return replace(record, map_sha256=sha256(drawn).hexdigest())

    def _record(self, read: _Read, output: str = "", problem: str = "") -> Record:
        return Record(
            input=read.file.entry.name,
            sha256=read.sha256,
            recipe=self._recipe.digest,
            model=self._name,
            output=read.file.output,
            output_sha256=output,
            mask_sha256=read.mask_sha256,
            problem=problem,
        )


def _done(writing: list[Future[Record]]) -> Iterator[Record]:
    for future in writing:
        yield future.result()
