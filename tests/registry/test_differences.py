"""What differs between two versions is named by dotted keys, with both values."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from drdd.registry.differences import SECTIONS, Change, differences, flat
from drdd.registry.manifest import File, Version


def _version(files: dict[str, str] | None = None, **about: Any) -> Version:
    listed = {name: File(digest, 1) for name, digest in (files or {}).items()}
    return Version("0" * 12, "", "", listed, about)


def _metrics(psnr: float) -> dict[str, Any]:
    scores = {"psnr_rgb": psnr}
    row = {"images": 4, "input": {"psnr_rgb": 20.0}, "output": scores, "gain": {}}
    return {"tasks": {"rain": row}, "passed": True}


def test_every_section_is_compared() -> None:
    old = _version(
        {"config.json": "a", "gone": "b"},
        params={"seed": 0, "tasks": {"rain": {"variants": 2}}},
        metrics=_metrics(24.0),
        data={"data/pairs/rain": "1.dir"},
        libraries={"torch": "2.13.0"},
        git="abc",
        dvc_lock="x",
        start={"version": None},
    )
    new = _version(
        {"config.json": "c", "new": "d"},
        params={"seed": 0, "tasks": {"rain": {"variants": 3}, "haze": {"variants": 1}}},
        metrics=_metrics(25.0),
        data={"data/pairs/rain": "2.dir"},
        libraries={"torch": "2.14.0"},
        git="abc-dirty",
        dvc_lock="x",
        start={"version": "0123456789ab"},
    )
    found = differences(old, new)
    assert tuple(found) == SECTIONS
    assert found == {
        "params": [
            Change("tasks.haze.variants", None, 1),
            Change("tasks.rain.variants", 2, 3),
        ],
        "metrics": [Change("rain.output.psnr_rgb", 24.0, 25.0)],
        "data": [Change("data/pairs/rain", "1.dir", "2.dir")],
        "libraries": [Change("torch", "2.13.0", "2.14.0")],
        "files": [
            Change("config.json", "a", "c"),
            Change("gone", "b", None),
            Change("new", None, "d"),
        ],
        "code": [Change("git", "abc", "abc-dirty"), Change("start.version", None, "0123456789ab")],
    }
    assert not any(differences(old, old).values())


def test_a_version_that_says_nothing_of_itself_can_be_compared() -> None:
    assert not any(differences(_version(), _version()).values())
    assert differences(_version(), _version(git="abc"))["code"] == [Change("git", None, "abc")]


LEAVES = st.none() | st.integers()
LEVEL = st.dictionaries(st.sampled_from("abc"), LEAVES, max_size=2)
TREES = st.dictionaries(st.sampled_from("abc"), LEAVES | LEVEL, max_size=3)


@settings(max_examples=50, deadline=None)
@given(TREES)
def test_nested_content_is_told_apart_by_its_flat_form(tree: dict[str, Any]) -> None:
    """Walking the dotted keys leads to the very values."""
    for key, value in flat(tree).items():
        found: Any = tree
        for part in key.split("."):
            found = found[part]
        assert found == value
