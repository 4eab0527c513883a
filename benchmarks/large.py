"""Memory and time of restoring a large photograph: 4000 x 3000 beside 1024 x 768.

`python -m benchmarks.large` restores each in a process of its own, whose peak of resident memory counts
from the start of Python, and prints a table. With the base, unless --model names a model folder.
Results: benchmarks/results/large.json.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from drdd.base.shipped import base_folder
from drdd.inference.engine import Restorer
from drdd.sources.packages import package_file

RESULTS = Path("benchmarks/results/large.json")
SIZES = ((1024, 768), (4000, 3000))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"))
    given = parser.parse_args()
    model = given.model or base_folder()
    if given.one:
        sys.stdout.write(json.dumps(measured(model, given.threads, *given.one)))
        return
    rows = [in_a_process(model, given.threads, *size) for size in SIZES]
    machine = {"cpu": platform.processor() or platform.machine(), "threads": given.threads}
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps({**machine, **versions, "rows": rows}, indent=1) + "\n")
    table = Table("picture", "peak memory", "above loaded", "wall", "CPU", "CPU a megapixel")
    for row in rows:
        megapixels = row["width"] * row["height"] / 1e6
        table.add_row(
            f"{row['width']} x {row['height']}",
            f"{row['peak_mb']:.0f} MB",
            f"{row['peak_mb'] - row['loaded_mb']:.0f} MB",
            f"{row['wall_s']:.1f} s",
            f"{row['cpu_s']:.1f} s",
            f"{row['cpu_s'] / megapixels:.1f} s",
        )
    Console().print(table)


def in_a_process(model: Path, threads: int, width: int, height: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.large", "--model", str(model)]
    command += ["--threads", str(threads), "--one", str(width), str(height)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def measured(model: Path, threads: int, width: int, height: int) -> dict[str, Any]:
    """Resident memory after loading and at its peak, and the time of one restoration, the first."""
    torch.set_num_threads(threads)
    photograph = Image.open(package_file("skimage/data/astronaut.png")).convert("RGB")
    picture = np.asarray(photograph.resize((width, height)))
    restorer = Restorer.from_folder(model)
    loaded = peak_mb()
    wall, cpu = time.perf_counter(), time.process_time()
    restorer.restore(picture)
    return {
        "width": width,
        "height": height,
        "loaded_mb": loaded,
        "peak_mb": peak_mb(),
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
    }


def peak_mb() -> float:
    """Of resident memory, of this process until now; Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
