"""The report: one HTML file that needs nothing else, pictures first."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from drdd.evaluation.curves import loss_curve
from drdd.evaluation.pictures import Example
from drdd.evaluation.summary import gate_in_words
from drdd.files import write_bytes

PICTURE_WIDTH = 520
SHOWN_PER_TASK = 3


@dataclass(frozen=True)
class Latency:
    """Of the service, one picture at a time: seconds a picture, and megapixels a second."""

    median: float
    p95: float
    megapixels_per_second: float


@dataclass(frozen=True)
class Report:
    """metrics: as in metrics.json; scores: one row a picture; curves: by stage, images and loss.

    provenance: what is listed at the end, by name; params: the text of params.yaml.
    """

    metrics: Mapping[str, Any]
    scores: pd.DataFrame
    examples: Mapping[str, Sequence[Example]]
    curves: Mapping[str, pd.DataFrame]
    latency: Latency
    provenance: Mapping[str, str]
    params: str


def write_report(path: Path, report: Report) -> None:
    environment = Environment(
        loader=PackageLoader("drdd.evaluation", "templates"),
        autoescape=select_autoescape(["html", "j2"], default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        report=report,
        metrics=report.metrics,
        gate_in_words=gate_in_words,
        shown={
            task: [_figures(example) for example in examples[:SHOWN_PER_TASK]]
            for task, examples in report.examples.items()
        },
        curves={
            stage: Markup(loss_curve(curve, f"loss of the {stage}"))
            for stage, curve in report.curves.items()
        },
        rows=report.scores.to_dict("records"),
    )
    write_bytes(path, page.encode())


def _figures(example: Example) -> dict[str, Any]:
    names = ("input", "after de-residual", "output", "target")
    cells = zip(names, example.cells, strict=True)
    return {
        "image": example.image,
        "gain": example.output_psnr - example.input_psnr,
        "cells": [
            {"name": name, "caption": caption, "uri": picture_uri(pixels)}
            for name, (pixels, caption) in cells
        ],
    }


def picture_uri(pixels: NDArray[np.uint8]) -> str:
    """A JPEG data URI of at most PICTURE_WIDTH pixels in width."""
    image = Image.fromarray(pixels)
    if image.width > PICTURE_WIDTH:
        height = round(image.height * PICTURE_WIDTH / image.width)
        image = image.resize((PICTURE_WIDTH, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=84)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
