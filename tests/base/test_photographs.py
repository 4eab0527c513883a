"""The list of the base's photographs: complete, free, and nobody's held-out picture."""

from collections import Counter
from pathlib import PurePosixPath

from drdd.base.photographs import listed
from drdd.params import load
from tests.conftest import ROOT

FREE = ("CC0-", "CC-BY-", "public domain", "GPL-", "MIT", "BSD-")
RESERVED = ("lomiri-wallpapers", "mate-backgrounds", "plasma-workspace-wallpapers")
PHOTOGRAPHS = listed()


def test_the_list_is_sorted_and_names_each_picture_once() -> None:
    keys = [(one.package, one.path) for one in PHOTOGRAPHS]
    assert keys == sorted(set(keys))
    assert max(Counter((one.package, one.name) for one in PHOTOGRAPHS).values()) == 1
    assert max(Counter(one.sha256 for one in PHOTOGRAPHS).values()) == 1


def test_every_picture_says_whose_it_is_and_may_be_used_changed_and_passed_on() -> None:
    for one in PHOTOGRAPHS:
        assert one.author, one.path
        assert one.licence.startswith(FREE), one.path
        assert "-NC" not in one.licence, one.path
        assert "-ND" not in one.licence, one.path
        assert len(bytes.fromhex(one.sha256)) == 32, one.path


def test_a_part_validates() -> None:
    held = [one for one in PHOTOGRAPHS if one.split == "holdout"]
    assert Counter(one.split for one in PHOTOGRAPHS) == {"train": 321, "holdout": 24}
    assert len({one.package for one in held}) >= 8
    assert {one.kind for one in held} == {"debian"}  # no picture of the default params


def test_it_names_neither_reserved_pictures_nor_those_that_the_default_params_hold_out() -> None:
    params = load(ROOT / "params.yaml")
    lists = (c.holdout for c in params.corpora.values() if isinstance(c.holdout, list))
    held = {name for names in lists for name in names}
    assert {"chelsea", "flower", "retina"} <= held
    for one in PHOTOGRAPHS:
        assert not one.package.startswith(RESERVED)
        if one.kind == "pypi":
            assert PurePosixPath(one.path).stem not in held
