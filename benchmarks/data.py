"""Intake beside Pillow alone, its memory, the training loader's waits, and random access to shards.

`python -m benchmarks.data` (`make bench-data`) makes picture files of bundled photographs
under .drdd/bench/data, measures on all cores of this machine, and prints ratios within this run.
--pictures: of the small and the large corpus, whose memory is compared.
Results: benchmarks/results/data/<cores>-cores.json.
"""

import argparse
import io
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from drdd.data.library import Library, Pictures
from drdd.intake.ingestion import Deduplicator, IngestResult
from drdd.params import load
from drdd.sources.listing import entries
from drdd.sources.packages import package_file
from drdd.stages.corpora import into_shards, limits
from drdd.storage.versions import addresses, listed
from drdd.training.learner import Worker
from drdd.training.loop import train
from drdd.training.samples import CleanSamples
from drdd.training.settings import method_of
from drdd.training.specs import stage_spec

FOLDER = Path(".drdd/bench/data")
RESULTS = Path("benchmarks/results/data")
CORES = os.cpu_count() or 1
# Name: size, format, options. All are within the limits, so none is scaled or encoded anew.
KINDS: dict[str, tuple[tuple[int, int], str, dict[str, Any]]] = {
    "jpeg": ((640, 480), "JPEG", {"quality": 90}),
    "large-jpeg": ((1600, 1200), "JPEG", {"quality": 90}),
    "png": ((640, 480), "PNG", {}),
}
MAX_SIDE = 1600


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data")
    parser.add_argument("--pictures", nargs=2, type=int, default=[1000, 20000], metavar="N")
    parser.add_argument(
        "--batches", type=int, default=60, help="training steps of the loader's test"
    )
    given = parser.parse_args()
    small, large = given.pictures
    few = max(small, large // 20)
    intakes = [intake("jpeg", small), intake("jpeg", large)]
    intakes += [intake("large-jpeg", few), intake("png", few)]
    shards = FOLDER / f"shards-jpeg-{large}"
    result = {
        "cores": CORES,
        "intake": intakes,
        "memory growth, MB": intakes[1]["peak memory, MB"] - intakes[0]["peak memory, MB"],
        "waiting": [waiting(shards, given.batches, cache) for cache in (0, 2 * 1024**3)],
        "feeding": [
            feeding(shards, crop, cached) for cached in (False, True) for crop in (64, 256)
        ],
        "random access": random_access(shards),
    }
    show(result)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{CORES}-cores.json"
    path.write_text(json.dumps(result, indent=1) + "\n")


def intake(kind: str, count: int) -> dict[str, Any]:
    """Rates in pictures/s; `ratio`: of intake, once it runs, to decoding alone."""
    source = made(kind, count)
    before = decoding_rate(source)
    folder = FOLDER / f"shards-{kind}-{count}"
    shutil.rmtree(folder, ignore_errors=True)
    marks: list[tuple[float, int]] = [(time.monotonic(), 0)]

    def progress(done: int) -> None:
        marks.append((time.monotonic(), done))
        if len(marks) % 20 == 0:
            print(f"\r{kind} intake {done}/{count} ", end="", file=sys.stderr, flush=True)

    with memory_watch() as peak:
        result = ingest_all(source, folder, progress)
    after = decoding_rate(source)
    warm = next(mark for mark in marks if mark[1] >= count // 5)
    rate = (marks[-1][1] - warm[1]) / (marks[-1][0] - warm[0])
    alone = (before + after) / 2
    return {
        "kind": kind,
        "pictures": count,
        "kept": len(result.ids),
        "decoding alone": alone,
        "intake": rate,
        "ratio": rate / alone,
        "with start": count / (marks[-1][0] - marks[0][0]),
        "peak memory, MB": peak[0] / 1e6,
    }


def ingest_all(source: Path, folder: Path, progress: Callable[[int], None]) -> IngestResult:
    """What the ingest stage does."""
    settings = load(overrides=[f"ingest.max_side={MAX_SIDE}"]).ingest
    deduplicator = Deduplicator(settings.near_duplicates)
    return into_shards(entries(str(source)).files, limits(settings), folder, deduplicator, progress)


def decoding_rate(source: Path) -> float:
    """Pictures/s that one process a core reads and decodes with Pillow, and nothing else."""
    files = sorted(source.iterdir())[:4000]
    parts = [files[n::CORES] for n in range(CORES)]
    with ProcessPoolExecutor(CORES) as pool:
        list(pool.map(_decode, [part[:20] for part in parts]))
        begin = time.monotonic()
        list(pool.map(_decode, parts))
        return len(files) / (time.monotonic() - begin)


def _decode(files: Sequence[Path]) -> None:
    for file in files:
        Image.open(io.BytesIO(file.read_bytes())).load()


@contextmanager
def memory_watch() -> Iterator[list[float]]:
    """The peak of this process and all below it, shared pages counted once (PSS), bytes."""
    peak, stop = [0.0], threading.Event()

    def watch() -> None:
        me = psutil.Process()
        while not stop.wait(5.0):  # asking costs time that would be missing in the rates
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            peak[0] = max(peak[0], total)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def waiting(shards: Path, batches: int, cache_bytes: int) -> dict[str, Any]:
    """The share of training time in which a step of the compact noise net waited for its batch."""
    params = load(overrides=["train.noise.batch=16", f"train.noise.images={16 * batches}"])
    settings = params.train.noise
    samples = CleanSamples(pictures(shards, cache_bytes), settings.crop, params.seed)
    spec = stage_spec("noise", method_of(params), samples, settings, params.seed)
    trained = train(spec, settings, Worker())
    return {
        "cache, MB": cache_bytes // 1024**2,
        "images/s": settings.images / trained.seconds,
        "waited": trained.waited / trained.seconds,
    }


def feeding(shards: Path, crop: int, cached: bool) -> dict[str, Any]:
    """Training samples/s that one core draws: read, verify, decode (unless cached), crop, turn."""
    params = load()
    torch.set_num_threads(1)
    library = pictures(shards, 2 * 1024**3 if cached else 0)[:400]
    samples = CleanSamples(library, crop, params.seed)
    draw = partial(_draw, samples)
    for n in range(len(library) if cached else 20):
        draw(n)
    begin, count = time.process_time(), 400
    for n in range(count):
        draw(n)
    return {
        "crop": crop,
        "cached": cached,
        "samples/s a core": count / (time.process_time() - begin),
    }


def _draw(samples: CleanSamples, n: int) -> None:
    samples.draw("noise", n, torch.Generator().manual_seed(n))


def pictures(shards: Path, cache_bytes: int) -> Pictures:
    found = addresses([shards])
    ids = [id_ for address in found for id_ in address.ids]
    return Pictures(Library(found, cache_bytes), ids)


def random_access(shards: Path) -> dict[str, Any]:
    """Bytes that are read of a shard for one picture, beside the shard's own."""
    shard = max(listed(shards), key=lambda one: one.size)
    file = _Counting(shards / shard.file)
    reader = pq.ParquetFile(file, pre_buffer=False)
    opening, file.count = file.count, 0
    groups = reader.num_row_groups
    for n in range(20):
        reader.read_row_group(n * groups // 20, columns=["image"])
    return {
        "shard, kB": shard.size / 1e3,
        "pictures in it": shard.rows,
        "read when opened, kB": opening / 1e3,
        "read for a picture, kB": file.count / 20 / 1e3,
    }


class _Counting(io.FileIO):
    """A file that counts the bytes that are read of it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(-1 if size is None else size)
        self.count += len(content)
        return content


def made(kind: str, count: int) -> Path:
    """A folder of `count` picture files; made once."""
    folder = FOLDER / f"{kind}-{count}"
    if folder.is_dir() and sum(1 for _ in folder.iterdir()) == count:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(CORES) as pool:
        for n, _ in enumerate(pool.map(partial(_make, folder, kind), range(count), chunksize=50)):
            if n % 500 == 0:
                print(f"\rmaking {kind} {n}/{count} ", end="", file=sys.stderr, flush=True)
    return folder


def _make(folder: Path, kind: str, n: int) -> None:
    """A part of a photograph, its channels in another order, turned, from a random place."""
    generator = np.random.default_rng(n)
    size, format_, options = KINDS[kind]
    path = folder / f"{n:06d}.{format_.lower()}"
    if path.exists():
        return
    photographs = [file for group in load().photographs.values() for file in group]
    with Image.open(package_file(photographs[generator.integers(len(photographs))])) as image:
        whole = image.convert("RGB")
    share = generator.uniform(0.4, 0.9)
    width, height = whole.width * share, whole.height * share
    left = generator.uniform(0, whole.width - width)
    top = generator.uniform(0, whole.height - height)
    box = (left, top, left + width, top + height)
    part = np.asarray(whole.resize(size, Image.Resampling.BICUBIC, box=box))
    part = part[:, :, generator.permutation(3)]
    part = part[:: generator.choice([1, -1]), :: generator.choice([1, -1])]
    Image.fromarray(np.ascontiguousarray(part)).save(path, format_, **options)


def show(result: dict[str, Any]) -> None:
    console = Console(width=150)
    for title in ("intake", "waiting", "feeding"):
        rows = result[title]
        table = Table(box=None, title=title, title_justify="left")
        for heading in rows[0]:
            table.add_column(heading, justify="right")
        for row in rows:
            table.add_row(*(f"{v:,.3f}" if isinstance(v, float) else str(v) for v in row.values()))
        console.print(table)
    console.print("memory growth, MB", round(result["memory growth, MB"]))
    console.print(result["random access"])


if __name__ == "__main__":
    main()
