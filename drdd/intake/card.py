"""The data card of a corpus: statistics and sample pictures, as HTML and JSON."""

import base64
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from drdd.data.library import Library
from drdd.drawing.contact import contact_sheet
from drdd.files import write_bytes, write_json
from drdd.shown import no_formula
from drdd.sources.entry import Rejected

CARD, PAGE, QUARANTINE = "card.json", "card.html", "quarantine.csv"
SHOWN, LISTED = 24, 200
DIGITS = 2


@dataclass(frozen=True)
class Range:
    """The range of a side of the pictures, in pixels."""

    least: int
    median: int
    most: int


@dataclass(frozen=True)
class Card:
    """The statistics of a corpus.

    sources: where it came from; pairs: None for clean images; set_aside: rows of the quarantine table;
    channel_mean, channel_std: RGB in [0, 255].
    """

    corpus: str
    sources: tuple[str, ...]
    licence: str
    obtain: str
    pictures: int
    pairs: int | None
    set_aside: int
    width: Range
    height: Range
    megapixels: float
    channel_mean: tuple[float, ...]
    channel_std: tuple[float, ...]


def card_of(
    corpus: str,
    sources: Sequence[str],
    licence: str,
    obtain: str,
    known: pa.Table,
    pairs: int | None,
    set_aside: int,
) -> Card:
    """Compute the card. known: a table as of shards.read_known, with at least one picture."""
    width, height = (np.asarray(known[side]) for side in ("width", "height"))
    pixels = (width.astype(np.int64) * height)[:, None]
    mean, mean_square = (
        (np.array(known[name].to_pylist()) * pixels).sum(axis=0) / pixels.sum()
        for name in ("mean", "mean_square")
    )
    std = np.sqrt(np.maximum(mean_square - mean**2, 0))
    return Card(
        corpus,
        tuple(dict.fromkeys(sources)),
        licence,
        obtain,
        len(known),
        pairs,
        set_aside,
        _range(width),
        _range(height),
        round(float(pixels.sum()) / 1e6, DIGITS),
        tuple(round(float(value), DIGITS) for value in mean),
        tuple(round(float(value), DIGITS) for value in std),
    )


def write_card(
    folder: Path, card: Card, known: pa.Table, library: Library, rejected: Sequence[Rejected]
) -> None:
    """Write card.json, quarantine.csv and card.html, which shows both with a sheet of pictures."""
    write_json(folder / CARD, asdict(card))
    cells = [(no_formula(one.name), no_formula(one.reason)) for one in rejected]
    quarantine = pd.DataFrame(cells, columns=["name", "reason"])
    table = quarantine.to_csv(index=False, lineterminator="\n")
    write_bytes(folder / QUARANTINE, table.encode())
    environment = Environment(
        loader=PackageLoader("drdd.intake", "templates"),
        autoescape=select_autoescape(["html", "j2"], default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("card.html.j2").render(
        card=card,
        sheet=Markup(_sheet(known, library)),
        rejected=rejected[:LISTED],
        more=len(rejected) - LISTED,
        quarantine=QUARANTINE,
    )
    write_bytes(folder / PAGE, page.encode())


def _range(values: np.ndarray) -> Range:
    return Range(int(values.min()), int(np.median(values)), int(values.max()))


def _sheet(known: pa.Table, library: Library) -> str:
    """A data URI of a contact sheet of pictures spread evenly over the corpus."""
    chosen = np.unique(np.linspace(0, len(known) - 1, SHOWN).round().astype(int))
    tiles = []
    for row in known.select(["id", "name"]).take(chosen).to_pylist():
        tiles.append((library.pixels(row["id"]), row["name"].rpartition("/")[2]))
    buffer = io.BytesIO()
    contact_sheet(tiles).save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
