"""ingest: every file of the worst of folders ends exactly once, as a picture or with its reason."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drdd.data.library import Library
from drdd.data.pairs import read_pairs
from drdd.data.shards import read_known
from drdd.errors import TransientError, UserError
from drdd.intake.card import CARD, PAGE, QUARANTINE
from drdd.params import validate
from drdd.pictures.files import png
from drdd.progress import Reporter, read_status
from drdd.sources.entry import Blob, Entry, Fetcher, Rejected
from drdd.sources.listing import entries
from drdd.stages.ingest import ingest
from drdd.stages.paths import CORPORA, MEMBERS
from drdd.storage.versions import LISTING, addresses
from tests.corpora import encoded, files_of, scene
from tests.project import tiny_params

FOLDER = CORPORA / "nature"
SIZE = (80, 90)


IMAGES = [Image.fromarray(scene(n, *SIZE)) for n in range(12)]
JPEG = encoded(IMAGES[0], "JPEG", quality=90)
DEEP = np.add.outer(np.arange(SIZE[0]) ** 2, np.arange(SIZE[1]) * 500).astype(np.uint16)
GOOD = {
    "01 plain.png": png(scene(1, *SIZE)),
    "02 animated.gif": encoded(IMAGES[2], "GIF", save_all=True, append_images=IMAGES[3:5]),
    "03 sixteen bits.tiff": encoded(Image.fromarray(DEEP), "TIFF"),
    "04 cmyk.jpg": encoded(IMAGES[5].convert("CMYK"), "JPEG"),
    "05 a jpeg.png": JPEG,
    "06 folder.png/deep.webp": encoded(IMAGES[6], "WEBP"),
    "07 large.bmp": encoded(IMAGES[7].resize((600, 300)), "BMP"),
}
BAD = {
    "21 empty.png": (b"", "empty file"),
    "22 cut.png": (GOOD["01 plain.png"][:2000], "damaged or cut short"),
    "23 cut.jpg": (JPEG[:1000], "damaged or cut short"),
    "24 words.jpg": (b"no image at all", "no image"),
    "25 bomb.png": (png(np.zeros((900, 900, 3), np.uint8)), "claims 900 x 900 pixels"),
    "26 dot.png": (png(np.zeros((1, 1, 3), np.uint8)), "1 x 1 pixels, smaller than 64"),
    "31 equal.png": (GOOD["01 plain.png"], "the same file as 01 plain.png"),
    "32 nearly.jpg": (encoded(IMAGES[1], "JPEG", quality=60), "the same picture as 01 plain.png"),
    "33 half.png": (png(np.asarray(IMAGES[6].resize((68, 64)))), "as 06 folder.png/deep.webp"),
}


@pytest.fixture
def source(workspace: Path) -> Path:
    folder = workspace / "in"
    for name, content in [*GOOD.items(), *((name, content) for name, (content, _) in BAD.items())]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "41 gone.png").symlink_to(folder / "nowhere.png")
    (folder / "42 circle.png").symlink_to(folder / "42 circle.png")
    os.mkfifo(folder / "43 pipe.png")
    (folder / "sub").mkdir()
    (folder / "sub/44 circle").symlink_to(folder)
    (folder / "notes.txt").write_text("no picture, and no image's suffix")
    Path(os.fsdecode(os.fsencode(folder) + b"/51 caf\xe9.png")).write_bytes(png(scene(8, *SIZE)))
    return folder


UNREADABLE = {"41 gone.png", "42 circle.png", "43 pipe.png"}


def _ingest(**ingest_: object) -> None:
    content = tiny_params()
    content["corpora"]["nature"]["source"] = "in"
    content["ingest"] |= {"max_side": 256, "max_pixels": 500_000, **ingest_}
    ingest(validate(content), Reporter("ingest@nature"), "nature")


def _quarantine() -> dict[str, str]:
    with (FOLDER / QUARANTINE).open(newline="") as file:
        rows = [(row["name"], row["reason"]) for row in csv.DictReader(file)]
    assert len(dict(rows)) == len(rows)
    return dict(rows)


def test_every_file_of_the_worst_folder_ends_exactly_once(source: Path) -> None:
    _ingest()
    members = read_pairs(FOLDER / MEMBERS)
    rejected = _quarantine()
    taken = [member.name for member in members]
    assert taken == [*GOOD, r"51 caf\xe9.png"]
    assert rejected.pop("1 other file") == "no picture by the suffix: 1 .txt"
    assert set(rejected) == {*BAD, *UNREADABLE}
    assert sorted([*taken, *rejected]) == [entry.name for entry in entries("in").files]
    for name, (_, reason) in BAD.items():
        assert reason in rejected[name], name
    assert all(rejected[name] for name in UNREADABLE)


def test_no_good_picture_is_changed(source: Path) -> None:
    _ingest()
    members = {member.name: member for member in read_pairs(FOLDER / MEMBERS)}
    library = Library(addresses([FOLDER]))
    assert len(library) == len(members)
    for name in ("01 plain.png", "05 a jpeg.png", "06 folder.png/deep.webp"):
        assert library.content(members[name].target) == GOOD[name]
    deep = library.pixels(members["03 sixteen bits.tiff"].target)[..., 0]
    assert np.array_equal(deep, np.round(DEEP / 257))
    assert library.pixels(members["07 large.bmp"].target).shape == (128, 256, 3)


def test_the_corpus_is_complete_and_the_same_again(source: Path) -> None:
    _ingest()
    first = files_of(FOLDER)
    assert set(first) == {MEMBERS, QUARANTINE, CARD, PAGE, LISTING, "00000.parquet"}
    _ingest()
    assert files_of(FOLDER) == first
    assert [path.name for path in CORPORA.iterdir()] == ["nature"]


def test_a_person_is_told_what_was_set_aside(source: Path) -> None:
    _ingest()
    status = read_status("ingest@nature")
    assert status is not None
    assert status.state == "done"
    assert status.note.startswith(
        "8 pictures, 12 set aside (see data/corpora/nature/quarantine.csv): "
        "21 empty.png: empty file; 22 cut.png: damaged"
    )
    assert status.note.endswith("; and 7 more; 1 other file: no picture by the suffix: 1 .txt")


def _fails_at(name: str) -> object:
    def fetch(self: Fetcher, entry: Entry, real: object = Fetcher.fetch) -> Blob | Rejected:
        if entry.name == name:
            raise TransientError("the store does not answer")
        assert callable(real)
        found = real(self, entry)
        assert isinstance(found, Blob | Rejected)
        return found

    return fetch


def test_a_run_that_fails_leaves_the_earlier_result(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ingest()
    first = files_of(CORPORA)
    (source / "99 new.png").write_bytes(png(scene(9, *SIZE)))
    with monkeypatch.context() as patched:
        patched.setattr(Fetcher, "fetch", _fails_at("99 new.png"))
        with pytest.raises(TransientError, match="does not answer"):
            _ingest()
    assert files_of(CORPORA) == first
    assert [path.name for path in CORPORA.iterdir()] == ["nature"]
    _ingest()
    assert "99 new.png" in {member.name for member in read_pairs(FOLDER / MEMBERS)}


def test_a_source_without_a_usable_picture_is_refused(source: Path) -> None:
    with pytest.raises(UserError, match=r"corpora\.nature: none of 20 files is usable \(01 plain"):
        _ingest(min_side=257)
    assert list(CORPORA.iterdir()) == []


def test_the_threshold_of_near_duplicates_is_a_setting(source: Path) -> None:
    _ingest(near_duplicates=0.0)
    taken = {member.name for member in read_pairs(FOLDER / MEMBERS)}
    assert {"32 nearly.jpg", "33 half.png"} <= taken
    assert "31 equal.png" not in taken


def test_a_corpus_may_be_taken_in_smaller_than_the_others(source: Path) -> None:
    content = tiny_params()
    content["corpora"] = {"nature": {"source": str(source), "max_side": 70}}
    content["ingest"] = {"min_side": 32, "max_side": 500, "max_pixels": 500_000}
    ingest(validate(content), Reporter("ingest"), "nature")
    known = read_known([FOLDER])
    assert max(known["width"].to_pylist() + known["height"].to_pylist()) == 70
    assert max(known["original_width"].to_pylist()) == 600


def test_a_hundred_thousand_files_are_listed_and_a_sample_is_taken(workspace: Path) -> None:
    folder = workspace / "in"
    folder.mkdir()
    for n in range(100_000):
        (folder / f"{n}.png").touch()
    for n in (7, 99_999):
        (folder / f"{n}.png").write_bytes(png(scene(n, *SIZE)))
    found = entries("in").files
    assert len(found) == len({entry.name for entry in found}) == 100_000
    content = tiny_params()
    content["corpora"]["nature"] |= {"source": "in", "include": r"^(0|7|60000|99999)\.png$"}
    ingest(validate(content), Reporter("ingest@nature"), "nature")
    assert [member.name for member in read_pairs(FOLDER / MEMBERS)] == ["7.png", "99999.png"]
    assert set(_quarantine()) == {"0.png", "60000.png"}
