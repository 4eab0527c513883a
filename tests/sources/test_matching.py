"""A pair is found by what two names have in common; what has no partner is told which one it lacks."""

import io
import random
import tarfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from drdd.errors import UserError
from drdd.params import Paired
from drdd.sources.entry import Blob, Fetcher
from drdd.sources.matching import Matching, PairEntry, match


def _write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def _match(input_: str, target: str, **settings: Any) -> Matching:
    return match(Paired.model_validate({"input": input_, "target": target, **settings}), "rainy")


def _names(matching: Matching) -> dict[str, tuple[str, str]]:
    """By key, which is unique."""
    named = {pair.key: (pair.input.name, pair.target.name) for pair in matching.pairs}
    assert len(named) == len(matching.pairs)
    return named


def _alone(matching: Matching) -> dict[str, str]:
    return {one.name: one.reason for one in matching.alone}


def test_equal_stems_are_pairs_whatever_the_order_suffix_and_folder(workspace: Path) -> None:
    _write(workspace, "in/2.jpg", "in/rain/10.png", "in/1.png", "out/a/1.tif", "out/2.png")
    _write(workspace, "out/10.png", "in/3.png", "out/4.png")
    matching = _match("in", "out")
    assert _names(matching) == {
        "1": ("1.png", "a/1.tif"),
        "2": ("2.jpg", "2.png"),
        "10": ("rain/10.png", "10.png"),
    }
    assert _alone(matching) == {
        "3.png": "input without target: none has key '3'",
        "4.png": "target without input: none has key '4'",
    }
    with Fetcher() as fetcher:
        pair = matching.pairs[0]
        assert fetcher.fetch(pair.input) == Blob("1.png", b"in/1.png")
        assert fetcher.fetch(pair.target) == Blob("a/1.tif", b"out/a/1.tif")


def test_where_a_stem_repeats_the_folders_must_agree(workspace: Path) -> None:
    _write(workspace, "in/a/1.jpg", "in/b/1.jpg", "in/c/1.jpg", "out/a/1.png", "out/b/1.png")
    matching = _match("in", "out")
    assert _names(matching) == {"a/1": ("a/1.jpg", "a/1.png"), "b/1": ("b/1.jpg", "b/1.png")}
    assert _alone(matching) == {"c/1.jpg": "input without target: none has key 'c/1'"}


def test_several_inputs_may_share_a_target(workspace: Path) -> None:
    """The layout of the RESIDE haze data."""
    _write(workspace, "hazy/0001_0.8_0.04.jpg", "hazy/0001_0.9_0.08.jpg", "hazy/0002_1_0.2.jpg")
    _write(workspace, "clear/0001.jpg", "clear/0002.jpg", "clear/0003.jpg", "hazy/readme.jpg")
    regexes = {"input": r"^(\d+)_", "target": r"^(\d+)\."}
    matching = _match("hazy", "clear", match=regexes)
    assert _names(matching) == {
        "0001_0.8_0.04": ("0001_0.8_0.04.jpg", "0001.jpg"),
        "0001_0.9_0.08": ("0001_0.9_0.08.jpg", "0001.jpg"),
        "0002_1_0.2": ("0002_1_0.2.jpg", "0002.jpg"),
    }
    assert list(_alone(matching)) == ["0003.jpg"]


def test_a_key_stays_the_pairs_own_if_only_suffixes_differ(workspace: Path) -> None:
    _write(workspace, "in/1.png", "in/1.jpg", "out/1.png")
    assert _names(_match("in", "out")) == {
        "1.jpg": ("1.jpg", "1.png"),
        "1.png": ("1.png", "1.png"),
    }


def test_one_source_may_hold_both_sides(workspace: Path) -> None:
    """The layout of the GoPro blur data, packed."""
    with tarfile.open("all.tar.gz", "w:gz") as archive:
        for name in ("t/g1/blur/1.png", "t/g1/sharp/1.png", "t/g2/blur/1.png", "t/g2/sharp/1.png"):
            info = tarfile.TarInfo(name)
            info.size = len(name)
            archive.addfile(info, io.BytesIO(name.encode()))
    regexes = {"input": "(.*)/blur/(.*)", "target": "(.*)/sharp/(.*)"}
    matching = _match("all.tar.gz", "all.tar.gz", match=regexes)
    assert list(_names(matching)) == ["t/g1/1.png", "t/g2/1.png"]
    assert matching.alone == []
    with Fetcher() as fetcher:
        targets = [fetcher.fetch(pair.target) for pair in matching.pairs]
    assert targets == [Blob(n, n.encode()) for n in ("t/g1/sharp/1.png", "t/g2/sharp/1.png")]


def test_the_order_in_which_files_were_made_does_not_matter(workspace: Path) -> None:
    names = [f"{side}/{n}.png" for side in ("in", "out") for n in range(30)]
    results = []
    for seed in range(3):
        shuffled = random.Random(seed).sample(names, len(names))
        _write(workspace / str(seed), *shuffled)
        results.append(_match(f"{seed}/in", f"{seed}/out"))
    assert _names(results[0]) == _names(results[1]) == _names(results[2])


def test_rows_of_two_lists_are_pairs(workspace: Path) -> None:
    _write(workspace, "x/b.png", "x/a.png", "y/1.png", "y/2.png")
    Path("in.txt").write_text("x/b.png\nx/a.png\nx/c.png\n")
    Path("out.txt").write_text("y/1.png\ny/2.png\ny/1.png\n")
    matching = _match("in.txt", "out.txt", match="row")
    assert _names(matching) == {
        "b": ("x/b.png", "y/1.png"),
        "a": ("x/a.png", "y/2.png"),
        "c": ("x/c.png", "y/1.png"),
    }
    Path("out.txt").write_text("y/1.png\n")
    with pytest.raises(UserError, match=r"paired\.rainy\.match:\s+row: 3 inputs in in\.txt, but 1"):
        _match("in.txt", "out.txt", match="row")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_rows_of_a_table_are_pairs_whatever_match_says(workspace: Path, suffix: str) -> None:
    _write(workspace, "x/a.png", "x/b.png", "y/a.png", "y/b.png")
    columns = {"lq": ["x/a.png", "x/b.png", "x/c.png"], "gt": ["y/b.png", "y/b.png", None]}
    table = pd.DataFrame(columns)
    if suffix == "csv":
        table.to_csv("t.csv", index=False)
    else:
        table.to_parquet("t.parquet")
    name, names = f"t.{suffix}", {"input": "lq", "target": "gt"}
    for rule in ("stem", "row", {"input": "(.)", "target": "(.)"}):
        assert _names(_match(name, name, columns=names, match=rule)) == {
            "a": ("x/a.png", "y/b.png"),
            "b": ("x/b.png", "y/b.png"),
            "c": ("x/c.png", "row 3"),
        }
    with pytest.raises(UserError, match=r"no column 'input' and no column 'target'"):
        _match(name, name)


def test_two_tables_are_matched_as_other_sources_are(workspace: Path) -> None:
    Path("in.csv").write_text("image\nx/1.png\nx/2.png\n")
    Path("out.csv").write_text("id,image\n0,y/2.png\n1,y/1.png\n")
    columns = {"input": "image", "target": "image"}
    assert list(_names(_match("in.csv", "out.csv", columns=columns)).values()) == [
        ("x/1.png", "y/1.png"),
        ("x/2.png", "y/2.png"),
    ]


def test_a_key_with_two_targets_is_refused_by_name(workspace: Path) -> None:
    _write(workspace, "in/1.png", "out/1.png", "out/1.jpg", "out/2.jpg", "out/2.png")
    with pytest.raises(UserError) as error:
        _match("in", "out")
    assert "keys with more than one target: '1' (1.jpg, 1.png), '2' (2.jpg, 2.png)" in str(
        error.value
    )


@pytest.mark.parametrize("rule", ["stem", "row"])
def test_an_input_that_occurs_twice_is_refused_by_name(workspace: Path, rule: str) -> None:
    Path("in.txt").write_text("1.png\n2.png\n./1.png\n")
    Path("out.txt").write_text("y/1.png\ny/2.png\ny/3.png\n")
    with pytest.raises(UserError, match=r"in\.txt names 1\.png more than once as input"):
        _match("in.txt", "out.txt", match=rule)


@pytest.mark.parametrize("settings", [{}, {"match": "row"}, {"aligned": False}])
def test_a_file_is_not_its_own_target(workspace: Path, settings: dict[str, Any]) -> None:
    _write(workspace, "in/1.png", "in/sub/2.png")
    with pytest.raises(UserError, match="tell the sides apart by match"):
        _match("in", "in", **settings)
    if not settings:
        with pytest.raises(UserError, match=r"its own target would be sub/2\.png"):
            _match("in", "in/sub")


def test_no_pair_at_all_shows_what_was_there_and_what_was_expected(workspace: Path) -> None:
    _write(workspace, *(f"in/a{n}.png" for n in range(5)), *(f"out/b{n}.png" for n in range(4)))
    with pytest.raises(UserError) as error:
        _match("in", "out")
    assert str(error.value).splitlines() == [
        "paired.rainy.match:",
        "  no pair; expected equal file stems, or equal paths without suffix where a side repeats a stem",
        "  input: 5 of 5 files of in, such as a0.png, a1.png, a2.png and 2 more; "
        "keys such as a0, a1, a2 and 2 more",
        "  target: 4 of 4 files of out, such as b0.png, b1.png, b2.png and 1 more; "
        "keys such as b0, b1, b2 and 1 more",
    ]
    with pytest.raises(UserError) as error:
        _match("in", "out", match={"input": r"(\d+)_hazy", "target": r"b(\d+)"})
    assert r"expected what '(\\d+)_hazy' captures in an input to equal" in str(error.value)
    assert "input: 0 of 5 files of in, such as a0.png, a1.png, a2.png and 2 more\n" in str(
        error.value
    )


def test_both_sources_are_reported_at_once(workspace: Path) -> None:
    with pytest.raises(UserError) as error:
        _match("nowhere", "neither.zip")
    lines = str(error.value).splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        "paired.rainy.input",
        "paired.rainy.target",
    ]
    assert all("does not exist" in line for line in lines)


def test_all_that_is_wrong_is_said_at_once(workspace: Path) -> None:
    Path("in.txt").write_text("1.png\n1.png\n")
    Path("out.txt").write_text("a/1.png\nb/1.png\n")
    regexes = {"input": r"(\d)", "target": r"/(\d)"}
    with pytest.raises(UserError, match=r"more than one target") as error:
        _match("in.txt", "out.txt", match=regexes)
    assert "more than once as input" in str(error.value)


def test_what_cannot_be_listed_is_not_lost_by_matching(workspace: Path) -> None:
    with tarfile.open("in.tar", "w") as archive:
        for name in ("blur_1.png", "../blur_2.png", "../other.png"):
            archive.addfile(tarfile.TarInfo(name))
    _write(workspace, "out/1.png")
    matching = _match("in.tar", "out", match={"input": r"blur_(\d)", "target": r"(\d)"})
    assert list(_names(matching)) == ["1"]
    assert set(_alone(matching)) == {"../blur_2.png", "../other.png"}
    assert all("absolute or climbs" in reason for reason in _alone(matching).values())


def _unaligned(cats: int, dogs: int, folder: str) -> dict[str, str]:
    _write(Path(folder), *(f"cat/c{n}.png" for n in range(cats)))
    _write(Path(folder), *(f"dog/d{n}.png" for n in range(dogs)))
    matching = _match(f"{folder}/cat", f"{folder}/dog", aligned=False)
    assert matching.alone == []
    return {pair.input.name: pair.target.name for pair in matching.pairs}


def test_unaligned_sides_of_any_size_are_paired_by_their_names_alone(workspace: Path) -> None:
    pairs = _unaligned(40, 30, "a")
    assert len(pairs) == 40
    assert _unaligned(40, 30, "b") == pairs
    more_inputs = _unaligned(60, 30, "c")
    assert {cat: more_inputs[cat] for cat in pairs} == pairs
    more_targets = _unaligned(40, 31, "d")
    assert all(more_targets[cat] in (dog, "d30.png") for cat, dog in pairs.items())
    assert len(set(pairs.values())) > 10
    assert set(_unaligned(3, 1, "e").values()) == {"d0.png"}


def test_unaligned_sides_may_be_told_apart_within_one_source(workspace: Path) -> None:
    _write(workspace, "all/trainA/1.png", "all/trainA/2.png", "all/trainB/7.png", "all/testB/8.png")
    regexes = {"input": "^trainA/(.*)", "target": "^trainB/(.*)"}
    pairs = _match("all", "all", match=regexes, aligned=False).pairs
    assert [(pair.input.name, pair.target.name) for pair in pairs] == [
        ("trainA/1.png", "trainB/7.png"),
        ("trainA/2.png", "trainB/7.png"),
    ]


def test_keys_are_unique_whatever_the_names(workspace: Path) -> None:
    draw = random.Random(0)
    for trial in range(30):
        folder = Path(str(trial))
        stems = [f"{draw.randrange(3)}/{draw.randrange(4)}" for _ in range(8)]
        _write(folder / "in", *{f"{stem}.{draw.choice(['png', 'jpg'])}" for stem in stems})
        _write(folder / "out", *{f"{stem}.png" for stem in stems})
        pairs: list[PairEntry] = _match(f"{trial}/in", f"{trial}/out").pairs
        assert len({pair.key for pair in pairs}) == len({pair.input.name for pair in pairs})
        assert all(Path(p.input.name).stem == Path(p.target.name).stem for p in pairs)
