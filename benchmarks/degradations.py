"""What `prepare` does for a picture, for every degradation: pictures/s, one thread.

`python -m benchmarks.degradations` (`make bench-degradations`) decodes a bundled photograph of 512 x 768,
degrades it with the default settings of each kind, encodes and stores it, and prints CPU milliseconds of
each part. Results: benchmarks/results/degradations.json.
"""

import json
import platform
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from drdd.data.shards import ShardWriter, table_of, writing
from drdd.degradations.catalogue import SCHEMAS
from drdd.degradations.chain import degrade
from drdd.pictures.files import covering, png, quick_png
from drdd.pictures.pixels import Pixels, described, pixels_of
from drdd.sources.packages import package_file

RESULTS = Path("benchmarks/results/degradations.json")
PHOTOGRAPH, SHAPE = "skimage/data/motorcycle_left.png", (512, 768)
REPEATS = 7
Result = TypeVar("Result")


def main() -> None:
    torch.set_num_threads(1)
    with Image.open(package_file(PHOTOGRAPH)) as image:
        content = png(covering(np.asarray(image.convert("RGB")), SHAPE))
    decoding, pixels = _timed(lambda: pixels_of(content))
    with tempfile.TemporaryDirectory() as folder, writing(Path(folder)) as writer:
        rows = {kind: _parts(kind, pixels, decoding, writer) for kind in sorted(SCHEMAS)}
    found = {
        "picture": list(SHAPE),
        "machine": f"{torch.backends.cpu.get_cpu_capability()} {platform.machine()}, one thread",
        "torch": torch.__version__,
        "kinds": rows,
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    headings = next(iter(rows.values()))
    table = Table("degradation", *headings, title=f"{found['machine']}, CPU milliseconds a picture")
    for kind, row in rows.items():
        table.add_row(kind, *(str(value) for value in row.values()))
    Console().print(table)


def _parts(kind: str, pixels: Pixels, decoding: float, writer: ShardWriter) -> dict[str, float]:
    """CPU milliseconds of each part; the photograph is decoded anew for every pair."""
    chain = [SCHEMAS[kind].model_validate({"kind": kind}).model_dump()]
    numbers = count()
    degrading, degraded = _timed(lambda: degrade(pixels, chain, kind, next(numbers)))
    encoding, content = _timed(lambda: quick_png(degraded))
    storing, _ = _timed(lambda: _store(writer, content, degraded))
    milliseconds = {
        "decode": decoding,
        "degrade": degrading,
        "encode": encoding,
        "store": storing,
    }
    return {
        "pictures/s": round(1000 / sum(milliseconds.values()), 1),
        **{part: round(value, 1) for part, value in milliseconds.items()},
        "MB": round(len(content) / 1e6, 2),
        "MB by Pillow": round(len(png(degraded)) / 1e6, 2),
    }


def _store(writer: ShardWriter, content: bytes, pixels: Pixels) -> None:
    writer.write(table_of([described("picture", content, Image.fromarray(pixels))]))


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """CPU milliseconds, median of REPEATS, after one that does not count."""
    result = work()
    spent: list[Any] = []
    for _ in range(REPEATS):
        begin = time.process_time()
        result = work()
        spent.append(time.process_time() - begin)
    return 1000 * median(spent), result


if __name__ == "__main__":
    main()
