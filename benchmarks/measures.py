"""What each metric of evaluation costs: CPU seconds a megapixel, one thread.

`python -m benchmarks.measures` prints the table and writes benchmarks/results/measures/cost.json. LPIPS has
random weights here, which cost as much as AlexNet's own; FID's network is a download and is not timed.
"""

import json
import platform
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from statistics import median

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from skimage import data

from drdd.metrics.catalogue import ALEXNET
from drdd.metrics.fidelity import Pixels, psnr_rgb, psnr_y, ssim_rgb, ssim_y
from drdd.metrics.lpips import Lpips, alexnet
from drdd.metrics.ms_ssim import ms_ssim
from drdd.metrics.niqe import niqe
from drdd.metrics.perception import Perception
from drdd.report.statistics import interval

RESULTS = Path("benchmarks/results/measures")
REPEATS = 5
PICTURES = 48


def main() -> None:
    torch.set_num_threads(1)
    target = data.astronaut()
    noise = np.random.default_rng(0).normal(0, 25, target.shape)
    image = (target + noise).clip(0, 255).astype(np.uint8)
    megapixels = target.shape[0] * target.shape[1] / 1e6
    cost = {name: _cpu_seconds(work) / megapixels for name, work in _metrics(image, target).items()}
    values, targets = noise.flat[:PICTURES].tolist(), [str(n) for n in range(PICTURES)]
    seeds = count()  # another seed each time, or what was drawn would be used again
    bootstrap = _cpu_seconds(lambda: interval(values, targets, next(seeds)))
    found = {
        "cpu_seconds_a_megapixel": {name: round(value, 3) for name, value in cost.items()},
        f"cpu_seconds_an_interval_of_{PICTURES}": round(bootstrap, 4),
        "picture": list(target.shape),
        "machine": f"{torch.backends.cpu.get_cpu_capability()} {platform.machine()}, one thread",
        "torch": torch.__version__,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "cost.json").write_text(json.dumps(found, indent=2) + "\n")
    table = Table("metric", "CPU s a megapixel", title=str(found["machine"]))
    for name, value in cost.items():
        table.add_row(name, f"{value:.2f}")
    Console().print(table, f"an interval of {PICTURES} pictures: {bootstrap:.3f} CPU s")


def _metrics(image: Pixels, target: Pixels) -> dict[str, Callable[[], object]]:
    perception = Perception()
    with tempfile.TemporaryDirectory() as folder:
        state = {f"features.{name}": value for name, value in alexnet().state_dict().items()}
        torch.save(state, Path(folder) / ALEXNET)
        lpips = Lpips(Path(folder) / ALEXNET)
    return {
        "PSNR and SSIM, RGB and Y": lambda: [
            score(image, target) for score in (psnr_rgb, psnr_y, ssim_rgb, ssim_y)
        ],
        "MS-SSIM": lambda: ms_ssim(image, target),
        "NIQE": lambda: niqe(image),
        "feature distance and Frechet features": lambda: [perception(p) for p in (image, target)],
        "LPIPS": lambda: lpips(image, target),
    }


def _cpu_seconds(work: Callable[[], object]) -> float:
    """Median of REPEATS, after one that does not count."""
    work()
    seconds = []
    for _ in range(REPEATS):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return median(seconds)


if __name__ == "__main__":
    main()
