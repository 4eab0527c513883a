"""The data card says in numbers, in a table and in a page what a corpus holds."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from drdd.data.library import Library
from drdd.data.shards import read_known
from drdd.intake.card import CARD, LISTED, PAGE, QUARANTINE, Card, Range, card_of, write_card
from drdd.sources.entry import Rejected
from drdd.storage.versions import addresses
from tests.corpora import Pixels, files_of, picture, scene, write_shards

STRIPES: list[Pixels] = []
for height, width in ((64, 80), (96, 64), (128, 256)):
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2], image[:, width // 2 :] = (10, 60, 200), (height, 0, 200)
    STRIPES.append(image)
PICTURES = [picture(pixels, f"sub/{n}.png") for n, pixels in enumerate(STRIPES)]


def _card(folder: Path, set_aside: int = 0, pairs: int | None = None) -> Card:
    known = read_known([folder])
    return card_of("sky", ["in", "in"], "CC0", "by <asking>", known, pairs, set_aside)


def _write(folder: Path, rejected: list[Rejected]) -> Card:
    write_shards(folder, PICTURES)
    card = _card(folder, len(rejected))
    write_card(folder, card, read_known([folder]), Library(addresses([folder])), rejected)
    return card


def test_the_numbers_are_those_of_all_pixels(tmp_path: Path) -> None:
    write_shards(tmp_path, PICTURES)
    card = _card(tmp_path)
    pixels = np.concatenate([one.reshape(-1, 3) for one in STRIPES]).astype(float)
    assert card.pictures == 3
    assert card.channel_mean == pytest.approx(pixels.mean(axis=0), abs=0.01)
    assert card.channel_std == pytest.approx(pixels.std(axis=0), abs=0.01)
    assert (card.width, card.height) == (Range(64, 80, 256), Range(64, 96, 128))
    assert card.megapixels == round(len(pixels) / 1e6, 2)
    assert card.sources == ("in",)


def test_statistics_of_photographs_come_close(tmp_path: Path) -> None:
    """A sample of the pixels stands for all."""
    scenes = [scene(n, 200, 240) for n in range(5)]
    write_shards(tmp_path, [picture(pixels) for pixels in scenes])
    card = _card(tmp_path)
    pixels = np.concatenate([one.reshape(-1, 3) for one in scenes]).astype(float)
    np.testing.assert_allclose(card.channel_mean, pixels.mean(axis=0), atol=2)
    np.testing.assert_allclose(card.channel_std, pixels.std(axis=0), atol=2)


def test_a_program_and_a_person_read_the_same(tmp_path: Path) -> None:
    rejected = [Rejected("a,b.png", 'said "no"\nimage'), Rejected("<b>.png", "empty file")]
    card = _write(tmp_path, rejected)
    content = json.loads((tmp_path / CARD).read_text())
    assert content["pictures"] == card.pictures == 3
    assert content["width"] == {"least": 64, "median": 80, "most": 256}
    assert content["pairs"] is None
    table = pd.read_csv(tmp_path / QUARANTINE, keep_default_na=False, lineterminator="\n")
    assert [Rejected(*row) for row in table.itertuples(index=False)] == rejected
    page = (tmp_path / PAGE).read_text()
    for said in ("Corpus sky", "3 pictures", "2 set aside", "CC0", "64 to 256 pixels, median 80"):
        assert said in page
    assert "&lt;b&gt;.png" in page
    assert "by &lt;asking&gt;" in page
    assert "<b>.png" not in page


def test_the_page_shows_the_pictures(tmp_path: Path) -> None:
    _write(tmp_path, [])
    page = (tmp_path / PAGE).read_text()
    found = re.search(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert found is not None
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))), dtype=int)
    for colour in ((10, 60, 200), (64, 0, 200), (96, 0, 200), (128, 0, 200)):
        assert (np.abs(sheet - colour).max(axis=2) < 8).sum() > 1000
    assert "Nothing." in page


def test_a_long_quarantine_is_whole_in_the_table_and_cut_in_the_page(tmp_path: Path) -> None:
    _write(tmp_path, [Rejected(f"{n:04}.png", "empty file") for n in range(LISTED + 7)])
    assert len(pd.read_csv(tmp_path / QUARANTINE)) == LISTED + 7
    page = (tmp_path / PAGE).read_text()
    assert page.count("<td>empty file</td>") == LISTED
    assert f"and 7 more in {QUARANTINE}" in page


def test_the_same_corpus_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        _write(tmp_path / name, [Rejected("x", "empty file")])
    assert files_of(tmp_path / "one") == files_of(tmp_path / "other")


def test_a_spreadsheet_takes_no_name_for_a_formula(tmp_path: Path) -> None:
    names = ["=cmd|' /C calc'!A0.png", "+1.png", "-rf.png", "@x.png", "\tx.png", "plain.png"]
    _write(tmp_path, [Rejected(name, f"{name} in the archive: damaged") for name in names])
    table = pd.read_csv(tmp_path / QUARANTINE)
    assert not any(cell[0] in "=+-@\t\r" for column in table for cell in table[column])
    assert [Path(cell) for cell in table["name"]] == [
        Path(name) for name in names
    ]  # the same paths
