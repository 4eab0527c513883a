"""References on the photographs that the default params hold out: PSNR, SSIM and seconds.

`python -m benchmarks.references` degrades each photograph as each task of params.yaml and, with its default
settings, each other kind that has a reference, and prints means over the photographs. One thread.
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from drdd.degradations.catalogue import SCHEMAS
from drdd.degradations.chain import degrade
from drdd.metrics.fidelity import psnr_rgb, ssim_rgb
from drdd.params import Params, load
from drdd.pictures.pixels import Pixels
from drdd.references.catalogue import REFERENCES, reference_of
from drdd.sources.packages import package_file

MEGAPIXELS = 0.4  # of the picture whose seconds are printed


def main() -> None:
    argparse.ArgumentParser(
        prog="python -m benchmarks.references", description=__doc__
    ).parse_args()
    torch.set_num_threads(1)
    params = load()
    targets = list(held_out(params))
    table = Table("degradation", "reference", "input", "restored", f"s, {MEGAPIXELS} MP")
    for title, step in _degradations(params).items():
        name = reference_of(None, [step["kind"]])
        assert name is not None
        degraded = [degrade(target, [step], 0, title, n) for n, target in enumerate(targets)]
        begin = time.process_time()
        restored = [REFERENCES[name].restore(pixels) for pixels in degraded]
        seconds = time.process_time() - begin
        cost = seconds * MEGAPIXELS * 1e6 / sum(pixels[..., 0].size for pixels in degraded)
        quality = (_quality(pictures, targets) for pictures in (degraded, restored))
        table.add_row(title, name, *quality, f"{cost:.2f}")
    Console(width=120).print(table)


def _degradations(params: Params) -> Mapping[str, Mapping[str, Any]]:
    """By title: the step of each task, then each kind that is in none."""
    found = {name: task.degradation[0].model_dump() for name, task in params.tasks.items()}
    seen = {step["kind"] for step in found.values()}
    for kind, schema in SCHEMAS.items():
        if kind not in seen and reference_of(None, [kind]):
            found[kind] = schema.model_validate({"kind": kind}).model_dump()
    return found


def held_out(params: Params) -> Iterator[Pixels]:
    """The photographs that the default params hold out, as large as intake lets them be."""
    for folder, files in params.photographs.items():
        held = params.corpora[folder].holdout
        assert isinstance(held, list)  # names, not a share
        for file in files:
            if PurePath(file).stem in held:
                image = Image.open(package_file(file)).convert("RGB")
                image.thumbnail((params.ingest.max_side,) * 2, Image.Resampling.LANCZOS)
                yield np.asarray(image)


def _quality(pictures: list[Pixels], targets: list[Pixels]) -> str:
    """Such as "21.09 / 0.235": PSNR in dB and SSIM."""
    pairs = list(zip(pictures, targets, strict=True))
    psnr, ssim = (
        float(np.mean([score(*pair) for pair in pairs])) for score in (psnr_rgb, ssim_rgb)
    )
    return f"{psnr:.2f} / {ssim:.3f}"


if __name__ == "__main__":
    main()
