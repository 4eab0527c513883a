"""Names that look alike are one name to a person; files that only differ so are never mixed up."""

from pathlib import Path
from unicodedata import normalize

import pytest

from drdd.data.pairs import HOLDOUT, Pair
from drdd.errors import UserError
from drdd.intake.split import hold_out
from drdd.params.data import Match, Paired
from drdd.sources.entry import Blob, Fetcher, Rejected
from drdd.sources.listing import entries
from drdd.sources.matching import match
from drdd.storage.filesystems import open_filesystem

COMPOSED, DECOMPOSED = normalize("NFC", "café"), normalize("NFD", "café")


def _write(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(name.encode())


def test_of_two_that_look_alike_one_is_set_aside_with_the_reason(workspace: Path) -> None:
    _write(f"in/{COMPOSED}.png", f"in/{DECOMPOSED}.png")
    first, second = entries("in").files
    assert not first.refusal
    assert "looks like that of another file" in second.refusal


@pytest.mark.parametrize("pattern", [None, rf"{COMPOSED}(\d)\.", rf"{DECOMPOSED}(\d)\."])
def test_pairs_are_found_as_their_names_look(workspace: Path, pattern: str | None) -> None:
    _write(f"old/{COMPOSED}1.png", f"new/{DECOMPOSED}1.png")
    found = match(
        Paired(
            input="old",
            target="new",
            match=Match(input=pattern, target=pattern) if pattern else "stem",
        ),
        "album",
    )
    assert len(found.pairs) == 1
    assert not found.alone


@pytest.mark.parametrize("side", ["old", "new"])
def test_a_side_with_two_that_look_alike_is_refused(workspace: Path, side: str) -> None:
    _write(f"old/{COMPOSED}.png", f"new/{COMPOSED}.png", f"{side}/{DECOMPOSED}.png")
    with pytest.raises(UserError, match=rf"{side} has files whose names look alike"):
        match(Paired(input="old", target="new"), "album")


def test_a_list_may_store_accents_otherwise_than_the_disk(workspace: Path) -> None:
    _write(f"in/{DECOMPOSED}/{COMPOSED}.png")
    Path("list.txt").write_text(f"in/{COMPOSED}/{DECOMPOSED}.png\nin/{COMPOSED}/gone.png\n")
    with Fetcher() as fetcher:
        found, gone = (fetcher.fetch(entry) for entry in entries("list.txt").files)
    assert isinstance(found, Blob)
    assert isinstance(gone, Rejected)
    assert "does not exist" in gone.reason


def test_a_held_out_name_may_store_accents_otherwise(workspace: Path) -> None:
    (pair,) = hold_out([Pair("album", f"{DECOMPOSED}.png", "0" * 64)], [COMPOSED], "holdout")
    assert pair.split == HOLDOUT


KEYS = [
    *("sub dir/b #1.png", "50%.png", "a%20b.png", "a+b.png", "q?x.png", "[1].png", "star*.png"),
    *("amp&=.png", "tilde~'quote'.png", f"{DECOMPOSED}.png", '"x".png', "-rf.png", "[red]x[/].png"),
]


@pytest.mark.parametrize(
    "prefix", ["plain", "scans [2024-01]", "scans [old]", "what?", "a#b", "{x}"]
)
def test_every_key_below_every_prefix_is_read(
    s3: dict[str, str], monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    store, root = open_filesystem(f"s3://drdd/names/{prefix}")
    store.pipe({f"{root}/{key}": key.encode() for key in KEYS})
    found = entries(f"s3://drdd/names/{prefix}").files
    assert sorted(entry.name for entry in found) == sorted(KEYS)
    with Fetcher() as fetcher:
        assert all(fetcher.fetch(e) == Blob(e.name, e.name.encode()) for e in found)
    store.pipe({f"{root}/list.txt": f"{COMPOSED}.png\n".encode()})
    (entry,) = entries(f"s3://drdd/names/{prefix}/list.txt").files
    with Fetcher() as fetcher:
        assert isinstance(fetcher.fetch(entry), Blob)
