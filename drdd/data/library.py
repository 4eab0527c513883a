"""Random access to the pictures of any number of shards by id: read singly, verified and cached."""

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from drdd.data.pairs import Pair
from drdd.errors import UserError
from drdd.pictures.pixels import Pixels, pixels_of
from drdd.pictures.scaling import enlarged, whole_pixels
from drdd.storage.versions import Address, at_hand

CACHE_BYTES = (
    os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
)  # of this machine's memory
DAMAGED = (OSError, pa.ArrowException)  # what reading a Parquet file raises


class _File(NamedTuple):
    """An open shard. firsts: the first row of each row group."""

    path: Path
    file: pq.ParquetFile
    firsts: list[int]


class Library:
    """Random access to the pictures of shards; safe to use from several threads.

    A shard that is not on this machine is fetched on the first access to one of its pictures.
    """

    def __init__(self, shards: Sequence[Address], cache_bytes: int = CACHE_BYTES) -> None:
        """cache_bytes: size of the least-recently-used cache of decoded pixels."""
        self._places = {id_: (shard, row) for shard in shards for row, id_ in enumerate(shard.ids)}
        self._files: dict[str, _File] = {}
        self._cache: OrderedDict[str, Pixels] = OrderedDict()
        self._free_bytes = self._most = cache_bytes
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, id_: str) -> bool:
        return id_ in self._places

    def pixels(self, id_: str) -> Pixels:
        """(H, W, 3) uint8, read-only. Raises UserError when it is missing or does not match its id."""
        return self._cached(id_, lambda: pixels_of(self.content(id_)))

    def sides(self, pair: Pair) -> tuple[Pixels, Pixels]:
        """(target, input) as networks see them: enlarged, and cut to whole pixels of the input.

        Both are (H, W, 3) uint8, of one size unless they show different scenes. Raises as `pixels`.
        """
        target, small = self.pixels(pair.target), self.pixels(pair.input)
        if pair.scale == 1:
            return target, small
        large = self._cached(
            f"{pair.input} x {pair.scale}", lambda: np.array(enlarged(small, pair.scale))
        )
        return whole_pixels(target, pair.scale), large

    def _cached(self, key: str, make: Callable[[], Pixels]) -> Pixels:
        with self._lock:
            if (kept := self._cache.get(key)) is not None:
                self._cache.move_to_end(key)
                return kept
        pixels = make()
        pixels.setflags(write=False)
        with self._lock:
            self._keep(key, pixels)
        return pixels

    def content(self, id_: str) -> bytes:
        """The picture file itself, verified against its id. Raises UserError as `pixels`."""
        if id_ not in self._places:
            raise UserError(f"picture {id_} is in none of the shards at hand")
        address, row = self._places[id_]
        with self._lock:
            path, file, firsts = self._opened(address)
            group = bisect_right(firsts, row) - 1
            try:
                images = file.read_row_group(group, columns=["image"], use_threads=False)["image"]
            except DAMAGED as error:
                raise _damaged(f"{path}, row {row}: cannot be read") from error
        content: bytes = images[row - firsts[group]].as_py()
        if sha256(content).hexdigest() != id_:
            raise _damaged(f"{path}, row {row}: does not hold picture {id_}")
        return content

    def _opened(self, address: Address) -> "_File":
        if address.shard.md5 not in self._files:
            path = at_hand(address)
            try:
                file = pq.ParquetFile(path, memory_map=True)
            except DAMAGED as error:
                raise _damaged(f"{path}: no Parquet file any more") from error
            rows = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
            self._files[address.shard.md5] = _File(path, file, [0, *accumulate(rows)])
        return self._files[address.shard.md5]

    def _keep(self, key: str, pixels: Pixels) -> None:
        if key in self._cache or pixels.nbytes > self._most:
            return
        self._cache[key] = pixels
        self._free_bytes -= pixels.nbytes
        while self._free_bytes < 0:
            _, dropped = self._cache.popitem(last=False)
            self._free_bytes += dropped.nbytes


def _damaged(said: str) -> UserError:
    return UserError(f"{said}; delete the file and run `dvc checkout` (or `dvc pull`)")


class Pictures(Sequence[Pixels]):
    """The pictures of some ids, read lazily."""

    def __init__(self, library: Library, ids: Sequence[str]) -> None:
        self._library, self._ids = library, ids

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, n: int) -> Pixels: ...
    @overload
    def __getitem__(self, n: slice) -> "Pictures": ...
    def __getitem__(self, n: int | slice) -> "Pixels | Pictures":
        if isinstance(n, slice):
            return Pictures(self._library, self._ids[n])
        return self._library.pixels(self._ids[n])


class PicturePairs(Sequence[tuple[Pixels, Pixels]]):
    """(target, input) of some pairs, as `Library.sides`, read lazily."""

    def __init__(self, library: Library, pairs: Sequence[Pair]) -> None:
        self._library, self._pairs = library, pairs

    def __len__(self) -> int:
        return len(self._pairs)

    @overload
    def __getitem__(self, n: int) -> tuple[Pixels, Pixels]: ...
    @overload
    def __getitem__(self, n: slice) -> "PicturePairs": ...
    def __getitem__(self, n: int | slice) -> "tuple[Pixels, Pixels] | PicturePairs":
        if isinstance(n, slice):
            return PicturePairs(self._library, self._pairs[n])
        return self._library.sides(self._pairs[n])
